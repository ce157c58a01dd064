"""Dynamics 365 Customer Insights - Data: its segments and profiles, read over the Dataverse Web API."""
