"""The card that shows, before anything happens, that the bot can post where its cards go."""

from bot.slack.views.blocks import Message, code, message, section


def trial_card(command: str) -> Message:
    """What ``meshbot init`` and ``meshbot doctor --send-test`` post."""
    text = (
        "Meshbot can post here: this is a test, and nothing has happened. Once the bot runs, "
        f"{code(f'{command} status')} says how it is, and {code(f'{command} help')} what you may do."
    )
    return message(text, [section(text)])
