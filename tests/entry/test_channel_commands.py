"""`hub channel`: looked at, checked, stopped and started from outside, and what an unfit setting comes to."""

from pathlib import Path

import pytest

from hub.domain.orders import Order
from hub.domain.payments import Outcome, Result, Stage
from hub.domain.refusals import ChannelUnavailable
from hub.domain.routing import StandingState
from hub.entry.cli import main
from hub.flows import channels, notices
from hub.flows.audit import COMMAND
from hub.flows.routing import Wish, plan
from tests.flows.benches import Bench
from tests.flows.scripted import PENDING, charged, delivery
from tests.world import SECOND_US, World, operator

NOWHERE = "http://127.0.0.1:9"  # the discard port: refused at once
SETTINGS = {"BASE_URL": NOWHERE, "API_KEY": "k", "ANSWER_SECRET": "a", "NOTICE_SECRET": "n"}


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> "Command":
    for name, value in SETTINGS.items():
        monkeypatch.setenv(f"HUB_CHANNEL_SANDBOX_{name}", value)
    return Command(tmp_path, capsys)


class Command:
    """`hub channel …` on a folder: exit code, what it printed, what it complained about."""

    def __init__(self, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.data, self._capsys = data, capsys

    def __call__(self, *arguments: str) -> tuple[int, list[str], str]:
        with pytest.raises(SystemExit) as ended:
            main(["channel", *arguments, "--data", str(self.data)])
        told = self._capsys.readouterr()
        return int(str(ended.value.code)), told.out.splitlines(), told.err


def test_channels_are_stopped_drained_started_and_listed(command: Command) -> None:
    assert command("stop", "sandbox", "--reason", "keys leaked")[:2] == (
        0, ["hub: sandbox is STOPPED, 0 attempts are open"],
    )  # fmt: skip
    assert [line.split() for line in command("list")[1][1:]] == [["sandbox", "STOPPED", "0", "0/0", "keys", "leaked"]]
    assert command("drain", "sandbox")[1] == ["hub: sandbox is DRAINING, 0 attempts are open"]
    assert command("start", "sandbox")[1] == ["hub: sandbox is RUNNING, 0 attempts are open"]
    assert [line.split() for line in command("list")[1][1:]] == [["sandbox", "RUNNING", "0", "0/0"]]
    code, _, complaint = command("stop", "nobody")
    assert (code, "there is no channel 'nobody' in this release" in complaint) == (2, True)


def test_check_prints_each_finding_and_ends_with_1_if_one_is_bad(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HUB_PUBLIC_URL", NOWHERE)
    code, said, _ = command("check", "sandbox")
    assert code == 1
    assert [line.split()[:2] for line in said] == [["reach", "BAD"], ["callback", "BAD"]]
    assert said[1].endswith(f"{NOWHERE}/channels/sandbox/notices does not answer: ConnectError")
    assert "ANSWER" not in " ".join(said)
    code, _, complaint = command("check", "stripe")
    assert (code, "HUB_CHANNEL_STRIPE_*" in complaint) == (2, True)


@pytest.mark.parametrize("secret", ["ANSWER_SECRET", "NOTICE_SECRET", "API_KEY"])
def test_a_channel_without_a_secret_does_not_start(
    command: Command, monkeypatch: pytest.MonkeyPatch, secret: str
) -> None:
    monkeypatch.delenv(f"HUB_CHANNEL_SANDBOX_{secret}")
    code, said, complaint = command("list")
    assert (code, said) == (2, [])
    assert complaint == f"hub: HUB_CHANNEL_SANDBOX_{secret}: the channel needs it\n"


def test_notices_of_an_empty_hub_are_none_and_an_unknown_one_is_not_replayed(command: Command) -> None:
    assert len(command("notices")[1]) == 1
    code, said, _ = command("replay", "ntc_nobody")
    assert (code, said) == (1, ["hub: noticeId: there is no such object, or it is not yours"])


# ---- what it means to the hub, on both engines -----------------------------------------------------------------------


async def stand(bench: Bench, state: StandingState) -> None:
    await channels.stand(bench.hub, COMMAND, "sandbox", state)


async def test_a_stopped_channel_takes_nothing_new_in_any_process_and_its_open_ones_go_on(
    store: object, world: World
) -> None:
    bench = Bench(store, world)  # type: ignore[arg-type]  # the fixture's store, of each engine
    rival = bench.rival()
    order, attempt = await bench.waiting(told=PENDING)
    for state in (StandingState.DRAINING, StandingState.STOPPED):
        await stand(bench, state)
        viewer, listing = await world.learner(), await world.listing()
        for worker in (bench, rival):
            refused = await worker.buy(viewer, listing, key=f"{state} {worker.owner}")
            assert isinstance(refused.refusal, ChannelUnavailable)
            other: Order = await worker.order(viewer, listing, key=f"order {state} {worker.owner}")
            unpaid = await worker.pay(viewer, other, key=f"pay {state} {worker.owner}")
            assert isinstance(unpaid.refusal, ChannelUnavailable)
        chosen = await plan(bench.hub, Wish(), listing_id=listing.id)
        assert chosen is not None
        assert chosen.chosen == "other"
    world.clock.pass_us(2 * SECOND_US)
    await bench.work()
    assert await bench.states(order.id) == ["CHARGED"]
    await stand(bench, StandingState.RUNNING)
    assert (await bench.buy(await world.learner(), await world.listing(), key="again")).refusal is None
    assert attempt.channel == "sandbox"


async def test_a_kept_notice_is_replayed_once_its_order_is_known_and_changes_nothing_twice(
    store: object, world: World
) -> None:
    bench = Bench(store, world)  # type: ignore[arg-type]  # the fixture's store, of each engine
    order, attempt = await bench.waiting(told=PENDING)
    stray = Result(Outcome.DONE, Stage.CHARGED, b"\1" * 32, 1, movement_ref="ch_9", amount=attempt.amount)
    await notices.receive(bench.hub, "sandbox", delivery("evt-9", "TB-UNKNOWN-1", stray))
    await notices.receive(bench.hub, "sandbox", delivery("evt-1", attempt.key, charged(attempt)))
    async with bench.store.reading() as rx:
        mine, every = await rx.notices.listed(order.id, 9), await rx.notices.listed(None, 9)
    assert [(one.event_id, one.state) for one in mine] == [("evt-1", "APPLIED")]
    assert sorted((one.event_id, one.state) for one in every) == [("evt-1", "APPLIED"), ("evt-9", "WAITING")]
    for one in every:
        assert (await notices.replay(bench.hub, operator(), one.id)).refusal is None
    assert (await bench.order_now(order.id)).received_minor == attempt.amount.amount_minor
    assert await bench.balance(f"order:{order.id}:escrow") == attempt.amount.amount_minor
    assert [state for (state,) in await bench.rows("SELECT state FROM notice_inbox ORDER BY event_id")] == [
        "APPLIED", "WAITING",
    ]  # fmt: skip
    assert await bench.one("SELECT count(*) FROM audit_entry WHERE action = 'noticeReplay'") == 2
