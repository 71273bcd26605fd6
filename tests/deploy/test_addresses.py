from __future__ import annotations

import re

from router.greenapi.addresses import AS_OF, NETWORKS
from tests.deploy.manifests import ROOT

PAGE = (ROOT / "docs" / "how-to" / "firewall.md").read_text("utf-8")


def test_the_page_has_the_addresses_that_are_shipped_and_their_date() -> None:
    listed = re.search(r"^```text\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    assert listed is not None
    assert listed[1].split() == [str(network.network_address) for network in NETWORKS]
    assert f"As of {AS_OF} " in PAGE
