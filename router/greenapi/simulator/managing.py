"""Methods about the instance: its state and its settings."""

from __future__ import annotations

from router.greenapi.simulator.account import Account
from router.greenapi.simulator.answers import Answer, invalid, json, refused
from router.greenapi.simulator.call import Call, Method


async def get_state_instance(account: Account, _: Call) -> Answer:
    """Tell the state."""
    return json({"stateInstance": account.state})


async def get_settings(account: Account, _: Call) -> Answer:
    """Tell the settings that are in force, and what cannot be set."""
    fixed = {
        "wid": account.wid,
        "countryInstance": "",
        "typeAccount": "",
        "typeInstance": account.messenger,
        "sharedSession": "no",
        "proxyInstance": "system_proxy",
    }
    return json({**fixed, **account.settings.values})


async def set_settings(account: Account, call: Call) -> Answer:
    """Take new settings, and restart to put them in force."""
    _check_started(account)
    try:
        settings = account.settings.changed(call.arguments)
    except ValueError as exc:
        raise invalid(str(exc)) from None
    account.tell(f"setSettings {', '.join(call.arguments)}")
    account.restart(settings)
    return json({"saveSettings": True})


async def reboot(account: Account, _: Call) -> Answer:
    """Restart with the settings as they are."""
    _check_started(account)
    account.restart(account.settings)
    return json({"isReboot": True})


async def logout(account: Account, _: Call) -> Answer:
    """End the authorization in the messenger."""
    _check_started(account)
    account.state = "notAuthorized"
    return json({"isLogout": True})


def _check_started(account: Account) -> None:
    if account.state == "starting":
        raise refused("instance in starting process try later")


METHODS: dict[str, Method] = {
    "getStateInstance": get_state_instance,
    "getSettings": get_settings,
    "setSettings": set_settings,
    "reboot": reboot,
    "logout": logout,
}
