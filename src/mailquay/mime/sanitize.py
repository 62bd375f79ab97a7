"""HTML of strangers reduced to what cannot run, load frames or leave its place: an allow-list, applied by nh3."""

from __future__ import annotations

import re
from functools import lru_cache

import nh3

from mailquay.mime.css import clean_style


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


_HTML_TAGS = _names(
    """
    a abbr acronym address area article aside b bdi bdo big blink blockquote br button caption center cite code
    col colgroup data datalist dd del details dfn dir div dl dt em fieldset figcaption figure font footer form
    h1 h2 h3 h4 h5 h6 header hgroup hr i img input ins kbd label legend li main map mark marquee menu menuitem
    meter nav nobr ol optgroup option output p picture pre progress q rp rt ruby s samp search section select
    small source spacer span strike strong sub summary sup table tbody td textarea tfoot th thead time tr track
    tt u ul var wbr
    """
)
_SVG_TAGS = _names(
    """
    svg circle clipPath defs ellipse g line linearGradient marker mask path pattern polygon polyline
    radialGradient rect stop switch symbol text textPath tref tspan view
    """
)
_MATH_TAGS = _names(
    """
    math menclose merror mfenced mfrac mover mpadded mphantom mroot mrow mspace msqrt mstyle msub msubsup msup
    mtable mtd mtr munder munderover mmultiscripts mprescripts mi mn mo ms mtext
    """
)
# What stands in these is not meant to be read, or would become something else once its tag is gone.
_LOST_WITH_CONTENT = frozenset(
    (
        *("annotation-xml", "audio", "desc", "foreignObject", "iframe", "noembed", "noframes", "noscript", "plaintext"),
        *("script", "style", "template", "title", "video", "xmp"),
    )
)
_HTML_ATTRIBUTES = _names(
    """
    abbr accept accept-charset accesskey action align alt autocomplete background bgcolor border cellpadding
    cellspacing char charoff charset checked cite class clear color cols colspan compact controls coords
    datetime default dir disabled download enctype enterkeyhint face for headers height hidden high href
    hreflang id inputmode ismap itemid itemprop itemref itemscope itemtype kind label lang list loading loop low
    max maxlength media method min minlength multiple name noshade novalidate nowrap open optimum pattern
    placeholder pubdate radiogroup readonly rel required rev reversed role rows rowspan scope selected shape
    size sizes span spellcheck src srclang srcset start step style summary tabindex title translate type usemap
    valign value width wrap xml:lang
    """
)
_GRAPHIC_ATTRIBUTES = _names(
    """
    clip-path clip-rule clipPathUnits cx cy d dx dy fill fill-opacity fill-rule font-family font-size font-style
    font-weight fx fy gradientTransform gradientUnits marker-end marker-mid marker-start markerHeight
    markerWidth mask offset opacity orient patternTransform patternUnits points preserveAspectRatio r refX refY
    rotate rx ry spreadMethod stop-color stop-opacity stroke stroke-dasharray stroke-dashoffset stroke-linecap
    stroke-linejoin stroke-miterlimit stroke-opacity stroke-width text-anchor textLength transform version
    viewBox x x1 x2 y y1 y2 accent close columnalign columnlines columnspacing columnspan depth display
    displaystyle encoding fence frame linethickness lspace mathbackground mathcolor mathsize mathvariant
    notation open rowalign rowlines rowspacing rspace scriptlevel separator separators stretchy symmetric
    """
)

_SCHEMES = frozenset(("http", "https", "ftp", "ftps", "mailto", "tel", "callto", "sms", "cid", "xmpp", "matrix"))
_SCHEME = re.compile(r"([a-z][a-z0-9+.-]*):", re.IGNORECASE)
_IGNORED_IN_URLS = re.compile(r"[\x00-\x20\x7f-\xa0\u1680\u180e\u2000-\u2029\u205f\u3000\ufeff]")
_URL_ATTRIBUTES = frozenset(
    ("action", "background", "cite", "formaction", "href", "itemid", "longdesc", "poster", "src")
)
_DATA_TAGS = frozenset(("img", "source", "track", "image"))
_GRAPHIC_REFERENCE = re.compile(r"url\(\s*['\"]?\s*(?!#)", re.IGNORECASE)

# Names with which an element would hide a property of the document or of a form from scripts around the mail.
_CLOBBERING = re.compile(
    r"(?:__proto__|__defineGetter__|__defineSetter__|__lookupGetter__|__lookupSetter__|constructor|hasOwnProperty|"
    r"isPrototypeOf|propertyIsEnumerable|toLocaleString|toString|valueOf|"
    r"acceptCharset|action|activeElement|adoptNode|all|alinkColor|anchors|append|appendChild|applets|attributes|"
    r"autocomplete|baseURI|bgColor|body|characterSet|charset|checkValidity|childElementCount|childNodes|children|"
    r"classList|className|cloneNode|close|closest|compatMode|contains|contentType|cookie|createElement\w*|"
    r"createTextNode|currentScript|dataset|defaultView|designMode|dir|doctype|document|documentElement|documentURI|"
    r"domain|elements|embeds|encoding|enctype|execCommand|fgColor|firstChild|firstElementChild|fonts|forms|"
    r"getAttribute\w*|getElementBy\w*|getElementsBy\w*|getSelection|hasAttribute\w*|hasChildNodes|hasFocus|head|"
    r"hidden|id|images|implementation|importNode|innerHTML|innerText|inputEncoding|insertBefore|lastChild|"
    r"lastElementChild|lastModified|length|linkColor|links|localName|location|method|name|namespaceURI|nextSibling|"
    r"noValidate|nodeName|nodeType|nodeValue|normalize|on\w+|open|outerHTML|ownerDocument|parentElement|parentNode|"
    r"plugins|prepend|previousSibling|querySelector\w*|readyState|referrer|rel|remove\w*|replace\w*|reportValidity|"
    r"requestSubmit|reset|rootElement|scripts|scrollingElement|setAttribute\w*|style|styleSheets|submit|tagName|"
    r"target|textContent|timeline|title|URL|visibilityState|vlinkColor|window|write|writeln|self|top|parent|frames)"
)


def sanitize(markup: str) -> str:
    """A fragment of HTML that is safe to show: allowed elements, attributes and addresses only.

    Every link opens in a new window; styles are cleaned. Comments go. Text of unknown elements stays.
    """
    return _cleaner().clean(markup)


@lru_cache(maxsize=1)
def _cleaner() -> nh3.Cleaner:
    return nh3.Cleaner(
        tags={*_HTML_TAGS, *_SVG_TAGS, *_MATH_TAGS},
        clean_content_tags=set(_LOST_WITH_CONTENT),
        attributes={"*": {*_HTML_ATTRIBUTES, *_GRAPHIC_ATTRIBUTES}},
        generic_attribute_prefixes={"data-", "aria-"},
        attribute_filter=_filter_attribute,
        set_tag_attribute_values={"a": {"target": "_blank"}},
        url_schemes={*_SCHEMES, "data"},
        link_rel=None,
        strip_comments=True,
    )


def _filter_attribute(tag: str, name: str, value: str) -> str | None:
    """The value to keep, None to drop the attribute. Never raises: nh3 would keep the value then."""
    if name == "style":
        return clean_style(value) or None
    if name in ("id", "name"):
        return None if _CLOBBERING.fullmatch(value.strip()) else value
    if name == "srcset":
        return value if all(_url_allowed(tag, part.strip()) for part in value.split(",")) else None
    if name in _URL_ATTRIBUTES:
        return value if _url_allowed(tag, value, embeds=name == "src") else None
    if "url(" in value.lower() and name in _GRAPHIC_ATTRIBUTES and _GRAPHIC_REFERENCE.search(value):
        return None
    return value


def _url_allowed(tag: str, value: str, *, embeds: bool = False) -> bool:
    """Whether an address is relative or of an allowed scheme, once everything browsers skip in it is out."""
    found = _SCHEME.match(_IGNORED_IN_URLS.sub("", value))
    if found is None:
        return True
    scheme = found[1].lower()
    return scheme in _SCHEMES or (scheme == "data" and embeds and tag in _DATA_TAGS)
