"""A local imitation of Mailchimp's Marketing API v3, for trying out and for tests; it knows no client."""
