"""When the garbage collector is away, and when it comes back."""

import gc

from bot.services.fleet.garbage_collection import no_collecting


def test_the_garbage_collector_is_back_once_the_last_of_several_is_done() -> None:
    history, listing = no_collecting(), no_collecting()
    with history:
        listing.__enter__()
    try:
        assert not gc.isenabled(), "the first is done, and the second is not"
    finally:
        listing.__exit__(None, None, None)
    assert gc.isenabled()
