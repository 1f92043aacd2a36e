"""What the demo shop is made of: its hosts, customers, goods, and the phrases of its programs."""

HOSTS = {
    "edge": ("edge-1", "edge-2"),
    "checkout": ("app-1", "app-2", "app-3"),
    "payments": ("app-2", "app-3"),
    "auth": ("app-1", "app-2"),
    "search": ("search-1", "search-2"),
    "inventory": ("app-1", "app-3"),
    "postgres": ("db-1", "db-2"),
    "cron": ("ops-1",),
    "kernel": ("edge-1", "edge-2", "app-1", "app-2", "app-3", "db-1", "db-2", "ops-1"),
}

AGENTS = (
    "Mozilla/5.0 (X11; Linux x86_64) Gecko/20100101 Firefox/140.0",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) Mobile Safari/604.1",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) Chrome/138.0 Safari/537.36",
    "shop-app/7.2 (Android 15)",
    "curl/8.14.1",
    "price-watcher/0.3 (+https://bot.example/about)",
)

# Some are rare: searches have a long tail, and not all of it is ASCII.
SEARCHES = (
    "clogs",
    "wooden shoes",
    "clogs size 42",
    "garden clogs",
    "red clogs",
    "insoles",
    "kids clogs",
    "safety clogs steel toe",
    "wool socks",
    "poplar or willow",
    "klompen maat 43",
    "grüne Holzschuhe",
    "sabots bébé",
    "træsko",
    "zuecos niño",
    "木靴",
    "деревянные башмаки",
    "👞 wood",
)

GOODS = (
    ("CLOG-RED-42", 4495),
    ("CLOG-BLU-40", 4495),
    ("CLOG-RAW-44", 3950),
    ("CLOG-KID-28", 2850),
    ("CLOG-SAFE-45", 7900),
    ("SOLE-WOOL-42", 1295),
    ("SOCK-GREY-L", 990),
    ("WAX-BEE-100", 640),
)

STREETS = ("Kanaalstraat", "Mühlenweg", "Rue de l'Écluse", "Ålesundgata", "Calle Ñandú", "Dijkweg")
CURRENCIES = ("EUR", "EUR", "EUR", "DKK", "SEK")
PLANS = ("free", "free", "free", "plus", "business")
JOBS = ("send-reminders", "rebuild-search-index", "expire-carts", "rotate-sessions", "export-orders")

TRACE_CHARGE = """\
Traceback (most recent call last):
  File "/srv/payments/app/charge.py", line 118, in charge
    answer = acquirer.authorise(card, amount, timeout=5.0)
  File "/srv/payments/app/acquirer.py", line 64, in authorise
    return self._post("/authorisations", body)
  File "/srv/payments/app/acquirer.py", line 97, in _post
    raise AcquirerError(f"no answer from {self.host}") from error
payments.acquirer.AcquirerError: no answer from acquirer.example"""

TRACE_CART = """\
java.lang.IllegalStateException: cart was changed while it was paid
    at shop.checkout.Cart.freeze(Cart.java:211)
    at shop.checkout.OrderService.place(OrderService.java:87)
    at shop.checkout.CheckoutHandler.handle(CheckoutHandler.java:45)
    at shop.http.Router.dispatch(Router.java:132)
Caused by: shop.store.VersionConflict: expected 7, found 8
    at shop.store.CartTable.update(CartTable.java:59)
    ... 3 more"""

TRACE_INDEX = """\
thread 'refresh-3' panicked at src/segment.rs:402:
no block 17 in segment 0000a1
   0: search::segment::Segment::block
   1: search::refresh::run
   2: std::thread::spawn"""
