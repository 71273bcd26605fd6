"""The methods of one instance for code in threads."""

from __future__ import annotations

from router.blocking import Blocking, blocking
from router.greenapi.client import InstanceApi


class BlockingApi(Blocking[InstanceApi]):
    """An `InstanceApi` whose methods block, with the same arguments, results and errors."""

    call = blocking(InstanceApi.call)
    get_settings = blocking(InstanceApi.get_settings)
    set_settings = blocking(InstanceApi.set_settings)
    get_state = blocking(InstanceApi.get_state)
    last_incoming_messages = blocking(InstanceApi.last_incoming_messages)
    send_message = blocking(InstanceApi.send_message)
    send_file_by_url = blocking(InstanceApi.send_file_by_url)
    send_file_by_upload = blocking(InstanceApi.send_file_by_upload)
    send_location = blocking(InstanceApi.send_location)
    send_contact = blocking(InstanceApi.send_contact)
    send_poll = blocking(InstanceApi.send_poll)
    send_interactive_buttons = blocking(InstanceApi.send_interactive_buttons)
    forward_messages = blocking(InstanceApi.forward_messages)
    read_chat = blocking(InstanceApi.read_chat)
    download_file = blocking(InstanceApi.download_file)

    @property
    def id(self) -> int:
        """``idInstance``."""
        return self._wrapped.id
