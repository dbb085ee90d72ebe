"""Ids of messages: each is derived from the message that caused it, so running a step again emits the same ids.

A message descends from an entry by a path of small numbers. Its id is the value of that path as a polynomial at a
fixed point modulo the Mersenne prime 2**127 - 1 (the fingerprint of Karp and Rabin, 1987): two of `n` different paths
of length `d` meet with a probability of about n**2 * d / 2**128. Not meant to withstand an adversary.
"""

import hashlib

__all__ = ["MODULUS", "POINT", "child_id", "entry_id", "posted_id"]

MODULUS = (1 << 127) - 1
POINT = 0x5BD1E995A3C59AC3F1234567AABBCCDD


def child_id(parent: int, index: int) -> int:
    """The id of the `index`-th message, from 1, that steps called with `parent` emit."""
    return (parent * POINT + index) % MODULUS


def entry_id(job: str, index: int) -> int:
    """The id of a job's `index`-th message from outside."""
    return _hashed(f"{job}\x00{index}")


def posted_id(job: str, key: str) -> int:
    """The id of a message posted under a key: the same however often it is posted."""
    return _hashed(f"{job}\x01{key}")


def _hashed(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()) % MODULUS
