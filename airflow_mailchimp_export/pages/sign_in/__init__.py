"""Signing in to Mailchimp: a page of its own, which a browser leaves for Mailchimp's, and comes back to."""
