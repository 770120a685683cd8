"""Wake-ups without a bus and over each bus: hints that are bounded, say nothing of anybody, and may all be lost."""

import asyncio
import logging
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest

from hub.entry import wiring
from hub.entry.settings import SettingRefused, read_settings
from hub.wakeups import bus as module
from hub.wakeups.bus import CHANNEL, BusWakeups, Hear, Line, LineLost
from hub.wakeups.memory import MemoryWakeups
from hub.wakeups.nats import nats_wakeups
from hub.wakeups.valkey import valkey_wakeups
from tests.buses import Bus, bus_program, open_bus, wheel_program
from tests.proxy import faulty

NAMES = ("nats", "valkey")
MAKERS: dict[str, Callable[[str, str], BusWakeups]] = {"nats": nats_wakeups, "valkey": valkey_wakeups}
USER = "usr_" + "0" * 26


@pytest.fixture(scope="module", params=NAMES)
def bus(request: pytest.FixtureRequest) -> Iterator[Bus]:
    with open_bus(request.param) as server:
        yield server


@pytest.fixture(params=["memory", *NAMES])
async def wakeups(request: pytest.FixtureRequest) -> AsyncIterator[MemoryWakeups]:
    """Each kind in turn, as one process has it."""
    if request.param == "memory":
        yield MemoryWakeups()
        return
    with open_bus(request.param) as server:
        async with process(server, "one") as opened:
            yield opened


@asynccontextmanager
async def process(bus: Bus, name: str, *, port: int | None = None, is_open: bool = True) -> AsyncIterator[BusWakeups]:
    """What one process has; with `is_open` its line carries."""
    wakeups = MAKERS[bus.name](bus.url_by(port or bus.port), name)
    wakeups.start()
    try:
        if is_open:
            await until(lambda: wakeups.figures.is_open)
        yield wakeups
    finally:
        await wakeups.aclose()


async def until(look: Callable[[], bool], within_s: float = 10.0) -> None:
    async with asyncio.timeout(within_s):
        while not look():  # noqa: ASYNC110  # a figure tells nobody that it has changed
            await asyncio.sleep(0.005)


async def wakes(sender: BusWakeups, receiver: BusWakeups, stream: str = USER) -> None:
    mark = receiver.mark(stream)
    sender.publish(stream, 0)
    await asyncio.wait_for(receiver.wait(stream, mark), 5)


# ---- whatever the bus ------------------------------------------------------------------------------------------------


async def test_a_move_between_the_mark_and_the_wait_is_not_missed(wakeups: MemoryWakeups) -> None:
    mark = wakeups.mark(USER)
    wakeups.publish(USER, 0)
    await asyncio.wait_for(wakeups.wait(USER, mark), 1)


async def test_another_stream_wakes_nobody(wakeups: MemoryWakeups) -> None:
    waiting = asyncio.create_task(wakeups.wait(USER, wakeups.mark(USER)))
    wakeups.publish("hub", 0)
    await asyncio.sleep(0.05)
    assert not waiting.done()
    wakeups.wake_all()
    await asyncio.wait_for(waiting, 1)
    assert wakeups.waiting == 0


async def test_publishing_after_the_end_is_lost_and_harms_nobody(wakeups: MemoryWakeups) -> None:
    await wakeups.aclose()
    wakeups.publish(USER, 0)


# ---- between processes -----------------------------------------------------------------------------------------------


async def test_a_move_wakes_whoever_waits_in_another_process_and_both_ways(bus: Bus) -> None:
    async with process(bus, "one") as one, process(bus, "two") as two:
        await wakes(one, two)
        await wakes(two, one)
        await wakes(one, two, "tasks")
        assert (one.figures.ignored, two.figures.ignored) == (0, 0)
        assert one.figures.heard == 1  # never itself


async def test_what_moves_at_once_goes_out_together_and_names_streams_alone(bus: Bus) -> None:
    async with process(bus, "one") as one, listening(bus) as heard:
        for number in range(1_000):
            one.publish(f"usr_{number % 300:026}", number)
        expected = {f"usr_{number:026}" for number in range(300)}
        await until(lambda: {line for said in heard for line in said.decode().split("\n")[1:]} == expected)
        messages = [said for said in heard if b"\n" in said]
        assert len(messages) == 2  # of 256 and 44 streams
        assert max(map(len, messages)) <= module.MAX_MESSAGE
        assert all(said.startswith(b"one\n") for said in messages)


async def test_garbage_and_forgeries_change_nothing(bus: Bus) -> None:
    rubbish = (
        b"", b"\xff\xfe\x00", b"two\n../../etc/passwd", b"two\n" + b"x" * 65, b"x" * 20_000, b"{}", b"two\n\n\n",
        b"two\n" + b"\n".join(b"usr_%d" % n for n in range(300)),
    )  # fmt: skip
    async with process(bus, "one") as one, process(bus, "two") as two:
        waiting = asyncio.create_task(one.wait(USER, one.mark(USER)))
        for message in rubbish:
            await shout(bus, message)
        await until(lambda: one.figures.ignored == len(rubbish))
        await shout(bus, b"forger\nhub\nplt_nobody")  # well-formed, and nobody waits for it
        await until(lambda: one.figures.heard == 2)
        assert not waiting.done()
        await wakes(two, one)
        await waiting


async def test_a_bus_that_shouts_makes_nobody_look_more_often_than_every_5_ms(bus: Bus) -> None:
    async with process(bus, "one") as one:
        woken = 0

        async def follow() -> None:
            nonlocal woken
            while True:
                await one.wait(USER, one.mark(USER))
                woken += 1

        following = asyncio.create_task(follow())
        began = asyncio.get_running_loop().time()
        await shout(bus, f"two\n{USER}".encode(), times=2_000)
        await until(lambda: one.figures.heard == 2_000)
        spent_s = asyncio.get_running_loop().time() - began
        following.cancel()
        assert 1 <= woken <= spent_s / module.COALESCE_S + 2


# ---- a bus that is away ----------------------------------------------------------------------------------------------


async def test_a_bus_that_is_down_at_first_stops_nothing_and_is_found_once_it_is_there(
    bus: Bus, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "AGAIN_MOST_S", 0.2)
    bus.stop()
    with caplog.at_level(logging.INFO, "hub.wakeups"):
        async with process(bus, "one", is_open=False) as one, process(bus, "two", is_open=False) as two:
            mark = one.mark(USER)
            one.publish(USER, 0)
            await asyncio.wait_for(one.wait(USER, mark), 1)
            await asyncio.sleep(0.5)  # some tries, all in vain
            assert one.figures.dropped == 1
            with restarted(bus):
                await until(lambda: one.figures.is_open and two.figures.is_open)
                await wakes(one, two)
    told = [record.message for record in caplog.records]
    assert len([line for line in told if line.startswith("the wake-up bus is away (")]) == 2
    assert told.count("the wake-up bus is back") == 2
    assert len(told) == 4


async def test_a_bus_that_goes_and_comes_again_is_used_again(bus: Bus, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "AGAIN_MOST_S", 0.2)
    async with process(bus, "one") as one, process(bus, "two") as two:
        await wakes(one, two)
        bus.stop()
        await until(lambda: not one.figures.is_open and not two.figures.is_open)
        mark = one.mark(USER)
        one.publish(USER, 0)
        await asyncio.wait_for(one.wait(USER, mark), 1)
        with restarted(bus):
            await until(lambda: one.figures.is_open and two.figures.is_open)
            await wakes(one, two)
            assert (one.figures.losses, one.figures.dropped) == (1, 1)


async def test_a_line_that_carries_nothing_is_noticed_and_opened_anew(
    bus: Bus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BEAT_S", 0.05)
    monkeypatch.setattr(module, "SILENCE_S", 0.4)
    monkeypatch.setattr(module, "CLOSE_S", 0.2)
    async with (
        faulty("127.0.0.1", bus.port) as proxy,
        process(bus, "two") as two,
        process(bus, "one", port=proxy.port) as one,
    ):
        await wakes(two, one)
        proxy.swallows = True
        await until(lambda: one.figures.losses == 1)
        proxy.swallows = False
        proxy.reset()
        await until(lambda: one.figures.is_open)
        await wakes(two, one)
        proxy.reset()
        await until(lambda: one.figures.losses == 2)
        await until(lambda: one.figures.is_open)
        await wakes(two, one)


async def test_the_password_of_a_bus_is_in_no_log_line(bus: Bus, caplog: pytest.LogCaptureFixture) -> None:
    wakeups = MAKERS[bus.name](bus.url.replace("://", "://hub:s3cret@").replace(str(bus.port), "1"), "one")
    with caplog.at_level(logging.DEBUG):
        wakeups.start()
        await until(lambda: "the wake-up bus is away" in caplog.text)
        await wakeups.aclose()
    assert "s3cret" not in caplog.text


async def test_a_client_that_takes_being_cancelled_for_a_lost_line_is_closed_all_the_same() -> None:
    is_opening = asyncio.Event()

    @asynccontextmanager
    async def deaf(_hear: Hear) -> AsyncIterator[Line]:
        is_opening.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            pass
        raise LineLost("cancelled")
        yield

    wakeups = BusWakeups(deaf, "one")
    wakeups.start()
    await is_opening.wait()
    await asyncio.wait_for(wakeups.aclose(), 30)


# ---- choosing one ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "library", "extra"), [("nats://b:1", "nats", "nats"), ("redis://b:1", "valkey", "valkey")]
)
def test_a_client_that_is_not_installed_is_named_by_its_extra(
    url: str, library: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == library]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, library, None)
    monkeypatch.delitem(sys.modules, f"hub.wakeups.{extra}", raising=False)
    with pytest.raises(SettingRefused, match=rf"HUB_WAKEUPS: needs the extra `{extra}`.*tongbao\[{extra}\]"):
        wiring._wakeups(read_settings({"HUB_WAKEUPS": url}))


def test_no_server_is_a_visible_skip_here_and_a_failure_on_a_ci_machine() -> None:
    with pytest.raises(pytest.skip.Exception, match="no nats server: install the extra 'test'"):
        bus_program("nats", {}, None)
    with pytest.raises(pytest.fail.Exception, match="no valkey server: install the extra 'test'"):
        bus_program("valkey", {"CI": "true"}, None)
    assert bus_program("nats", {"CI": "true"}, Path("/x")) == "/x"
    assert [wheel_program(name) is not None for name in NAMES] == [True, True]


# ---- from outside ----------------------------------------------------------------------------------------------------


@contextmanager
def restarted(bus: Bus) -> Iterator[None]:
    """The server runs again, and goes on doing so: the next test needs it."""
    with tempfile.TemporaryDirectory() as folder:
        bus.start(folder)
        yield


@asynccontextmanager
async def listening(bus: Bus) -> AsyncIterator[list[bytes]]:
    """Everything that anybody says on the channel."""
    heard: list[bytes] = []
    async with MAKERS[bus.name](bus.url, "listener")._open(heard.append) as line:
        listening = asyncio.create_task(line.lost())
        yield heard
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)


async def shout(bus: Bus, message: bytes, times: int = 1) -> None:
    """Say it on the channel, as nobody of ours would."""
    if bus.name == "nats":
        import nats

        client = await nats.connect(bus.url)
        for _ in range(times):
            await client.publish(CHANNEL, message)
        await client.drain()
        return
    from valkey.asyncio import Valkey

    async with Valkey.from_url(bus.url) as speaker, speaker.pipeline(transaction=False) as pipeline:
        for _ in range(times):
            pipeline.publish(CHANNEL, message)
        await pipeline.execute()
