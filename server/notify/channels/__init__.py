"""The kinds of channels: one a file, one line here."""

from __future__ import annotations

from server.notify.channels.alertmanager import ALERTMANAGER
from server.notify.channels.apprise import APPRISE
from server.notify.channels.base import ChannelType
from server.notify.channels.webhook import WEBHOOK

CHANNEL_TYPES: dict[str, ChannelType] = {one.name: one for one in (APPRISE, WEBHOOK, ALERTMANAGER)}
