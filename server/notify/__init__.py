"""Notifications: how alerts reach people, from the outbox in the metadata to a channel and back with an outcome."""
