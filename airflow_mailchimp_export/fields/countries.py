"""Countries as Mailchimp takes them, by the two letters of ISO 3166-1."""

from __future__ import annotations

from functools import lru_cache
from gettext import NullTranslations, translation

import pycountry

_LANGUAGES = ("de", "fr", "es", "it", "nl", "sv", "da", "nb", "fi", "pl", "pt")
"""In which a country's name is known beside English."""

_ALSO = {
    "uk": "GB",
    "great britain": "GB",
    "england": "GB",
    "scotland": "GB",
    "wales": "GB",
    "usa": "US",
    "u.s.a.": "US",
}
_ALSO |= {
    "u.s.": "US",
    "uae": "AE",
    "russia": "RU",
    "south korea": "KR",
    "holland": "NL",
    "the netherlands": "NL",
}
_ALSO |= {
    "turkey": "TR",
    "türkiye": "TR",
    "czech republic": "CZ",
    "vietnam": "VN",
    "kosovo": "XK",
    "xk": "XK",
}
"""What people call countries, besides their names in ISO 3166-1."""


@lru_cache(maxsize=4096)
def country_code(name: str) -> str | None:
    """Return the code of a country given by a name or a code of two or three letters; ``None`` for none."""
    key = name.strip().casefold()
    if key in _ALSO:
        return _ALSO[key]
    found = pycountry.countries.get(alpha_2=key.upper()) or pycountry.countries.get(alpha_3=key.upper())
    if found:
        return str(found.alpha_2)
    return _names().get(key)


@lru_cache(maxsize=1)
def _names() -> dict[str, str]:
    """Each country's names, short, common and official, in English and in :data:`_LANGUAGES`."""
    names: dict[str, str] = {}
    for translated in ("", *_LANGUAGES):
        told = _translation(translated)
        for country in pycountry.countries:
            spelled = (getattr(country, kind, None) for kind in ("name", "common_name", "official_name"))
            for name in filter(None, spelled):
                names.setdefault(told.gettext(name).casefold(), country.alpha_2)
    return names


def _translation(language: str) -> NullTranslations:
    if not language:
        return NullTranslations()
    return translation("iso3166-1", pycountry.LOCALES_DIR, languages=[language], fallback=True)
