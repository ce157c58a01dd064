"""Mailchimp's Marketing API: what to say, how it is carried, and how to read the answer."""
