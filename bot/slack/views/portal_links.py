"""Links to the vendor's portal, by templates of whoever runs the bot. What fills them comes from outside."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

GATEWAY, SITE = "{gateway}", "{site}"  # the placeholders


@dataclass(frozen=True, slots=True)
class Portal:
    """The address of a gateway, by its id and its site, and of a site; an empty template makes no link."""

    gateway_url: str = ""
    site_url: str = ""

    def gateway(self, gateway_id: str, site: str = "") -> str:
        """Empty without a template, or without the site that it wants."""
        return filled(self.gateway_url, {GATEWAY: gateway_id, SITE: site})

    def site(self, site: str) -> str:
        return filled(self.site_url, {SITE: site})


NO_PORTAL: Final = Portal()


def linked(text: str, url: str) -> str:
    """Words of ours, or an escaped name, as a link; the words alone where there is no address."""
    return f"<{url.replace('&', '&amp;')}|{text.replace('|', '¦')}>" if url else text


def filled(template: str, values: Mapping[str, str]) -> str:
    """A template as an address. Nothing where a value is missing, or is dots alone, which a browser takes as
    a step in the path.
    """
    for placeholder, value in values.items():
        if placeholder in template:
            if not value.strip("."):
                return ""
            template = template.replace(placeholder, quote(value, safe="", errors="replace"))
    return template
