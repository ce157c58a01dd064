"""Tests that go on for as long as they are given; a short version of each is part of the suite."""
