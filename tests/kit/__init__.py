"""What many tests are written with: clocks, servers, archives, people, exports and their lives."""
