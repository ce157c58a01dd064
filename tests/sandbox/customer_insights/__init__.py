"""The imitation of Customer Insights - Data, over real HTTP."""
