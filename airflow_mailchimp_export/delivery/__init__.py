"""From the plan to Mailchimp's answers, call by call or as batches."""

from __future__ import annotations
