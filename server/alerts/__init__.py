"""Alert rules: documents that ask a question again and again, and the alerts that come of the answers."""
