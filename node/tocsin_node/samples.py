"""The policy and the manifest that a new node starts with: they do nothing, and show in comments what they can say."""

from __future__ import annotations

SAMPLE_POLICY = """\
# What this node may do about what it learns. As it stands it has no levers, so it never acts.
#   tocsin policy check    says what is wrong with it, and what you may not have meant
#   tocsin policy show     says what it means
#   tocsin coverage        says what is still without a lever
# Take the comment signs away and put your own names and numbers in.
version = 1

# What a member's word weighs before it has earned anything (min), and at most (max), in nats.
# Without pins nobody weighs anything on the first day. `tocsin roster pin` proposes the members of your network.
# [pins]
# alba = { min = 2.5, max = 3.9 }

# The most that may be lost of one holding of manifest.toml, how fast it can drain, how long a lever takes.
# [[limit]]
# scope = "usdc-market"
# mal_usd = 5_000_000
# drain_usd_per_s = 50_000
# latency_s = 48

# Levers, from the gentlest. `hook` is the name of a [[hook]] in node.toml, `scopes` are holdings, "*" is all of them.
# [[lever]]
# hook = "page-on-call"
# tier = "notify"                  # notify, tighten, freeze, pause
# scopes = ["*"]

# [[lever]]
# hook = "freeze-market"
# tier = "freeze"
# scopes = ["usdc-market"]
# effectiveness_percent = 90       # of the loss, that it averts
# cost_usd = 20_000                # when the alarm was false
# minutes = 45                     # after which it ends

# Your own people, by the addresses of their wallets or of the keys that `tocsin approve new-key` makes. So many (m) of
# them approve levers that ask first, and every step of the way back after containment.
# [operators]
# ana = "0x00000000000000000000000000000000000000a1"
# ben = "0x00000000000000000000000000000000000000b2"
# cleo = "0x00000000000000000000000000000000000000c3"

# [[approval.rule]]
# m = 2

# The call of your governance that undoes a lever; deploy/policy.example.toml has the rest of the way back.
# [[recovery.undo]]
# hook = "freeze-market"
# target = "eip155:1:0x1111111111111111111111111111111111111111"
# function = "unpause()"
# effect = "start the market again"
"""

_SAMPLE_MANIFEST = """\
# What you hold and hang on. As it stands it names nothing, so nothing is ever at stake and nothing is done.
#   tocsin manifest check    says what is wrong with it, and what is missing
#   tocsin manifest sign     makes the file that you give to the other members
# Take the comment signs away and put your own names and numbers in.
version = 1
protocol = "@member@"

# A part of your protocol with value in it: its own contracts, and what lies there. Policies speak of it by its name.
# [[holding]]
# name = "usdc-market"
# kind = "market"                  # asset, market, pool, bridge
# subjects = ["eip155:1:0x1111111111111111111111111111111111111111"]
# amount = { usd = 80_000_000, read = 2026-01-31T12:00:00Z }

# A token you issue; without `holding`, a claim on all of them.
# [[token]]
# asset = "eip155:1/erc20:0x3333333333333333333333333333333333333333"
# kind = "receipt"                 # lp, receipt
# holding = "usdc-market"

# What a holding hangs on; without `holding`, all of them do.
# [[dependency]]
# link = "compiler"                # deploy/manifest.example.toml in the sources has every kind
# subject = "vyper 0.3.10"
"""


def sample_manifest(member: str) -> str:
    """The manifest.toml of a new node."""
    return _SAMPLE_MANIFEST.replace("@member@", member)
