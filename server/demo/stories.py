"""What happens in the demo shop, as the records that its programs write about it.

A story is one event: a customer's request that passes through several programs, a second in the life of the
machines. It is told as pairs of an offset in microseconds and a record without its time.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random
from typing import Any

from server.demo import words

Story = Iterator[tuple[int, dict[str, Any]]]

CUSTOMERS = 4_000
MS_US = 1_000
TIMEOUT_US = 5_000 * MS_US  # after which checkout gives up on payments
PAYMENTS_LOST = 0.7  # of the requests to payments in an outage


class Shop:
    """Who takes part: chance, and what the records of one program have in common."""

    def __init__(self, random: Random) -> None:
        self.random = random

    def record(self, service: str, level: str, message: str, **fields: Any) -> dict[str, Any]:
        """A record of a program on one of its hosts."""
        host = self.random.choice(words.HOSTS[service])
        return {"level": level, "service": service, "host": host, "message": message, **fields}

    def chance(self, probability: float) -> bool:
        """True so often."""
        return self.random.random() < probability

    def latency_us(self, median_ms: float) -> int:
        """A time with a long tail."""
        return int(median_ms * MS_US * self.random.lognormvariate(0, 0.5)) + 50

    def hexadecimal(self, digits: int) -> str:
        """An identifier."""
        return f"{self.random.getrandbits(4 * digits):0{digits}x}"

    def address(self) -> str:
        """An address out of those that are reserved for documents."""
        network = self.random.choice(("192.0.2.", "198.51.100.", "203.0.113."))
        if self.chance(0.1):
            return f"2001:db8::{self.random.randrange(1, 0xFFFF):x}"
        return network + str(self.random.randrange(1, 255))


@dataclass(frozen=True, slots=True)
class Visit:
    """One request of a customer: what all its records share, and when in it something happens."""

    shop: Shop
    trace_id: str
    user: dict[str, Any]
    sku: str
    outage: bool

    def tell(self, service: str, level: str, message: str, **fields: Any) -> dict[str, Any]:
        """A record that belongs to the request."""
        return self.shop.record(service, level, message, trace_id=self.trace_id, **fields)


@dataclass(frozen=True, slots=True)
class Told:
    """What a program behind the edge made of a request: its records, the status, the time it took."""

    records: tuple[tuple[int, dict[str, Any]], ...]
    status: int
    took_us: int


def request(shop: Shop, *, outage: bool) -> Story:
    """A customer's request: the programs behind the edge, then the line in the access log."""
    number = int(CUSTOMERS * shop.random.random() ** 2)  # some come often
    user = {"id": f"u{number:05d}", "plan": words.PLANS[number % len(words.PLANS)]}
    sku, _ = shop.random.choice(words.GOODS)
    visit = Visit(shop, shop.hexadecimal(32), user, sku, outage)
    method, path, upstream, behind = shop.random.choices(_ROUTES, _WEIGHTS)[0]
    path = path.format(sku=sku, order=100_000 + shop.random.randrange(90_000))
    told = behind(visit)
    yield from told.records
    yield told.took_us, _access(visit, method, path, upstream, told)


def _access(visit: Visit, method: str, path: str, upstream: str, told: Told) -> dict[str, Any]:
    took_ms = round(told.took_us / MS_US, 1)
    level = "error" if told.status >= 500 else "warn" if told.status in {401, 409, 429} else "info"
    fields: dict[str, Any] = {
        "http": {"method": method, "path": path, "status": told.status},
        "latency_ms": took_ms,
        "client": {"ip": visit.shop.address(), "agent": visit.shop.random.choice(words.AGENTS)},
        "tags": ["access", "tls"] if visit.shop.chance(0.9) else ["access"],
    }
    if told.status != 304:
        fields["http"]["bytes"] = int(visit.shop.random.lognormvariate(8, 1.2))
    if upstream:
        fields["upstream"] = upstream
    if told.status == 504:
        fields["error"] = {"kind": "timeout", "message": f"upstream timeout: {upstream} gave no answer"}
    elif told.status == 502:
        fields["error"] = {"kind": "connection_reset", "message": f"connection reset by peer: {upstream}"}
    return visit.tell("edge", level, f"{method} {path} {told.status} in {took_ms} ms", **fields)


def _static(visit: Visit) -> Told:
    status = visit.shop.random.choices((200, 304, 404), (80, 17, 3))[0]
    return Told((), status, visit.shop.latency_us(2))


def _health(visit: Visit) -> Told:
    return Told((), 200, visit.shop.latency_us(0.6))


def _search(visit: Visit) -> Told:
    shop = visit.shop
    tail = shop.random.random() ** 2.5  # the first ones are asked for most
    text = words.SEARCHES[int(tail * len(words.SEARCHES))]
    took_us = shop.latency_us(28)
    hits = int(shop.random.lognormvariate(3, 1.3)) if shop.chance(0.94) else 0
    fields: dict[str, Any] = {
        "search": {"text": text, "hits": hits, "shards": [shop.random.randrange(8) for _ in range(3)]},
        "latency_ms": round(took_us / MS_US, 1),
        "user": visit.user,
    }
    level = "info" if hits else "warn"
    message = f"{hits} hits for “{text}”" if hits else f"nothing found for “{text}”"
    return Told(((took_us - 40, visit.tell("search", level, message, **fields)),), 200, took_us + 900)


def _login(visit: Visit) -> Told:
    shop = visit.shop
    took_us = shop.latency_us(85)
    fields = {"user": visit.user, "client": {"ip": shop.address()}, "latency_ms": round(took_us / MS_US, 1)}
    if shop.chance(0.08):
        tries = shop.random.randrange(1, 6)
        message = f"password rejected for {visit.user['id']}, try {tries}"
        record = visit.tell("auth", "warn", message, **fields, tries=tries, tags=["login", "failed"])
        return Told(((took_us - 60, record),), 401, took_us + 400)
    session = shop.hexadecimal(16)
    message = f"login of {visit.user['id']}, session {session[:6]}…"
    record = visit.tell("auth", "info", message, **fields, session=session, tags=["login"])
    return Told(((took_us - 60, record),), 200, took_us + 400)


def _stock(visit: Visit) -> Told:
    shop = visit.shop
    took_us = shop.latency_us(9)
    left = shop.random.randrange(120)
    level = "warn" if left < 5 else "debug"
    message = f"stock of {visit.sku} is low: {left} left" if left < 5 else f"stock of {visit.sku}: {left}"
    fields = {"stock": {"sku": visit.sku, "left": left, "reserved": shop.random.randrange(4)}}
    return Told(((took_us - 30, visit.tell("inventory", level, message, **fields)),), 200, took_us + 300)


def _checkout(visit: Visit) -> Told:
    """An order: stock is reserved, the money taken, the order placed; or not."""
    shop = visit.shop
    goods = shop.random.sample(words.GOODS, shop.random.randrange(1, 4))
    order: dict[str, Any] = {
        "id": f"o{shop.random.randrange(10**7):07d}",
        "total_cents": sum(cents for _, cents in goods),
        "currency": shop.random.choice(words.CURRENCIES),
        "items": [{"sku": sku, "count": shop.random.randrange(1, 3)} for sku, _ in goods],
        "ship_to": {"street": shop.random.choice(words.STREETS), "number": shop.random.randrange(1, 200)},
    }
    begin_us = shop.latency_us(6)
    reserved = f"reserved {', '.join(sku for sku, _ in goods)} for order {order['id']}"
    stock = {"skus": [sku for sku, _ in goods]}
    records = [(begin_us, visit.tell("inventory", "info", reserved, order={"id": order["id"]}, stock=stock))]
    if shop.chance(0.006):
        conflict = visit.tell(
            "checkout",
            "error",
            f"order {order['id']} cannot be placed\n{words.TRACE_CART}",
            order=order,
            user=visit.user,
            error={"kind": "conflict", "code": 409},
        )
        return Told((*records, (begin_us + 2_000, conflict)), 409, begin_us + 3_000)
    paid, payment_us, failure = _pay(visit, order, begin_us)
    records += paid
    end_us = begin_us + payment_us
    if failure is None:
        message = f"order {order['id']} placed: {order['total_cents'] / 100:.2f} {order['currency']}"
        records.append((end_us, visit.tell("checkout", "info", message, order=order, user=visit.user)))
        return Told(tuple(records), 201, end_us + 800)
    status, kind, what = failure
    message = f"order {order['id']} not placed: {what}"
    error = {"kind": kind, "upstream": "payments"}
    level = "warn" if kind == "refused" else "error"
    records.append(
        (end_us, visit.tell("checkout", level, message, order=order, user=visit.user, error=error))
    )
    return Told(tuple(records), status, end_us + 800)


_Paid = tuple[list[tuple[int, dict[str, Any]]], int, tuple[int, str, str] | None]


def _pay(visit: Visit, order: dict[str, Any], begin_us: int) -> _Paid:
    """The records of payments, the time it took, and what went wrong: status, kind, words."""
    shop = visit.shop
    money = {"amount_cents": order["total_cents"], "currency": order["currency"], "card": shop.hexadecimal(4)}
    about = {"order": {"id": order["id"]}, "payment": money}
    if shop.chance(PAYMENTS_LOST if visit.outage else 0.004):
        return _pay_lost(visit, about, begin_us)
    took_us = shop.latency_us(900 if visit.outage else 160)
    latency = {"latency_ms": round(took_us / MS_US, 1)}
    if shop.chance(0.03):
        message = f"card {money['card']} refused for order {order['id']}: not enough money"
        record = visit.tell("payments", "warn", message, **about, **latency, tags=["card", "refused"])
        return [(begin_us + took_us, record)], took_us, (402, "refused", "card refused")
    message = f"authorised {money['amount_cents'] / 100:.2f} {money['currency']} for order {order['id']}"
    record = visit.tell("payments", "info", message, **about, **latency, tags=["card"])
    return [(begin_us + took_us, record)], took_us, None


def _pay_lost(visit: Visit, about: dict[str, Any], begin_us: int) -> _Paid:
    """Payments gets no answer from the acquirer: the connection breaks, or time runs out."""
    shop = visit.shop
    if shop.chance(0.35):
        took_us = shop.latency_us(40)
        error = {"kind": "connection_reset", "peer": "acquirer.example:443"}
        message = "connection reset by peer while reading from acquirer.example:443"
        record = visit.tell("payments", "error", message, **about, error=error)
        return [(begin_us + took_us, record)], took_us, (502, "connection_reset", "connection reset by peer")
    waited: dict[str, Any] = {"kind": "timeout", "after_ms": 5000, "peer": "acquirer.example:443"}
    message = "upstream timeout after 5000 ms: acquirer.example:443"
    if shop.chance(0.25):
        message = f"{message}\n{words.TRACE_CHARGE}"
    record = visit.tell("payments", "error", message, **about, error=waited, latency_ms=5000.0)
    told = [(begin_us + TIMEOUT_US, record)]
    if shop.chance(0.3):
        retry = visit.tell("payments", "warn", "trying the acquirer again, 1 of 2", **about)
        told.insert(0, (begin_us + TIMEOUT_US // 2, retry))
    return told, TIMEOUT_US, (504, "timeout", "upstream timeout")


_Route = tuple[str, str, str, Callable[[Visit], Told]]

_WEIGHTED_ROUTES: tuple[tuple[int, _Route], ...] = (
    (14, ("GET", "/", "", _static)),
    (12, ("GET", "/assets/shop.css", "", _static)),
    (9, ("GET", "/health/live", "", _health)),
    (20, ("GET", "/products/{sku}", "inventory", _stock)),
    (18, ("GET", "/search", "search", _search)),
    (8, ("POST", "/login", "auth", _login)),
    (22, ("POST", "/checkout", "checkout", _checkout)),
    (6, ("GET", "/orders/{order}", "inventory", _stock)),
)
_WEIGHTS = [weight for weight, _ in _WEIGHTED_ROUTES]
_ROUTES = [route for _, route in _WEIGHTED_ROUTES]


def background(shop: Shop, second: int, *, outage: bool) -> Story:
    """What the machines do by themselves in one second of the shop's life."""
    if second % 60 == 5:
        yield from _cron(shop, second // 60)
    if second % 300 == 42:
        yield from _checkpoint(shop)
    if shop.chance(0.05 if outage else 0.02):
        yield _at(shop), _slow_statement(shop)
    if shop.chance(0.006):
        yield _at(shop), _kernel(shop)
    if outage and shop.chance(0.3):
        used = shop.random.randrange(92, 101)
        pool = {"name": "acquirer", "used": used, "size": 100}
        level = "fatal" if used == 100 else "warn"
        message = f"connection pool acquirer: {used} of 100 in use"
        yield _at(shop), shop.record("payments", level, message, pool=pool)
    if shop.chance(0.0008):
        error = {"kind": "panic", "thread": "refresh-3"}
        yield _at(shop), shop.record("search", "error", words.TRACE_INDEX, error=error)


def _at(shop: Shop) -> int:
    return shop.random.randrange(1_000_000)


def _cron(shop: Shop, minute: int) -> Story:
    job = words.JOBS[minute % len(words.JOBS)]
    run: dict[str, Any] = {"job": job, "run": minute}
    took_us = shop.latency_us(1_500)
    yield 0, shop.record("cron", "info", f"{job} begins", cron=run, tags=["cron", job])
    done: dict[str, Any] = {**run, "rows": shop.random.randrange(5_000), "took_ms": took_us // MS_US}
    if shop.chance(0.06):
        message = f"{job} ended with exit code 1"
        yield took_us, shop.record("cron", "error", message, cron=done, error={"kind": "exit", "code": 1})
    else:
        yield (
            took_us,
            shop.record("cron", "info", f"{job} ended, {done['rows']} rows", cron=done, tags=["cron"]),
        )


def _checkpoint(shop: Shop) -> Story:
    buffers = shop.random.randrange(200, 9_000)
    took_us = shop.latency_us(4_000)
    yield 0, shop.record("postgres", "info", "checkpoint begins: by time", db={"name": "shop"})
    message = f"checkpoint ended: {buffers} buffers in {took_us / 1e6:.2f} s"
    yield took_us, shop.record("postgres", "info", message, db={"name": "shop", "buffers": buffers})


def _slow_statement(shop: Shop) -> dict[str, Any]:
    took_ms = round(shop.random.lognormvariate(6.6, 0.6), 1)
    statement = shop.random.choice(
        (
            "select * from orders where customer_id = $1 order by placed_at desc limit 20",
            "update stock set reserved = reserved + $1 where sku = $2",
            "delete from carts where touched_at < now() - interval '30 days'",
        )
    )
    database: dict[str, Any] = {
        "name": "shop",
        "pid": shop.random.randrange(900, 4_000),
        "statement": statement,
    }
    return shop.record(
        "postgres", "warn", f"slow statement, {took_ms} ms: {statement}", db=database, latency_ms=took_ms
    )


def _kernel(shop: Shop) -> dict[str, Any]:
    device = shop.random.choice(("eth0", "nvme0n1", "nvme1n1"))
    up_s = round(shop.random.uniform(1e5, 9e6), 6)
    if device == "eth0":
        level, what = "warn", "eth0: link is down, then up again at 10 Gbit/s"
    elif shop.chance(0.3):
        level, what = "error", f"{device}: read error at sector {shop.random.randrange(10**9)}, tried again"
    else:
        level, what = "info", f"{device}: temperature {shop.random.randrange(38, 71)} °C"
    return shop.record("kernel", level, f"[{up_s:14.6f}] {what}", kernel={"device": device, "uptime_s": up_s})


def needle(shop: Shop) -> Story:
    """The one record that nobody would find by hand."""
    message = "somebody left a wooden shoe in the machine: klompendans"
    yield 0, shop.record("inventory", "info", message, needle={"colour": "orange", "size": 43}, tags=["rare"])
