"""What every client of an API over HTTP needs: an end to each exchange, bounded bodies, errors that may be told."""
