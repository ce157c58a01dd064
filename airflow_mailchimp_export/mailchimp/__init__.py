"""Mailchimp's Marketing API: what to say, how to read the answer, and two ways to carry it."""
