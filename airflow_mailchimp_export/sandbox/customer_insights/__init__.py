"""A local imitation of Dynamics 365 Customer Insights - Data, as Dataverse and its file export show it."""
