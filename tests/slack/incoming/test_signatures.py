"""Which requests over HTTP are Slack's, and new."""

from slack_sdk.signature import SignatureVerifier

from bot.slack.incoming.signatures import SignedRequests

BEGAN, SECRET = 1_800_000_000, "a-signing-secret"


def test_a_request_is_remembered_for_as_long_as_its_stamp_is_good() -> None:
    now = float(BEGAN)
    requests = SignedRequests(SECRET, lambda: now)
    stamp = str(BEGAN + 300)  # as far ahead as Slack's own rule lets it be
    signature = SignatureVerifier(SECRET).generate_signature(timestamp=stamp, body="x")
    assert signature is not None
    assert requests.is_new("x", stamp, signature)
    now += 599
    assert not requests.is_new("x", stamp, signature)
