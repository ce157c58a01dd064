"""What the API server answers to the pages of the plugin; nothing else imports it."""
