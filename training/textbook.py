"""Small functions that any textbook has; N and X stand for names that vary."""

from __future__ import annotations

FUNCTIONS = (
    ("total", "Return the sum of X.", """\
(X):
result = 0
for item in X:
    result += item
return result"""),
    ("factorial", "Return the factorial of N.", """\
(N):
result = 1
for factor in range(2, N + 1):
    result *= factor
return result"""),
    ("fib", "Return the Fibonacci number at N.", """\
(N):
a, b = 0, 1
for _ in range(N):
    a, b = b, a + b
return a"""),
    ("largest", "Return the largest of X.", """\
(X):
best = X[0]
for item in X:
    if item > best:
        best = item
return best"""),
    ("is_prime", "Whether N is a prime number.", """\
(N):
if N < 2:
    return False
for divisor in range(2, N):
    if N % divisor == 0:
        return False
return True"""),
    ("search", "Return the index of wanted in the sorted list X, or -1.", """\
(X, wanted):
low, high = 0, len(X) - 1
while low <= high:
    middle = (low + high) // 2
    if X[middle] == wanted:
        return middle
    if X[middle] < wanted:
        low = middle + 1
    else:
        high = middle - 1
return -1"""),
    ("gcd", "Return the greatest common divisor of a and b.", """\
(a, b):
while b:
    a, b = b, a % b
return a"""),
    ("unique", "Return X without duplicates, in order.", """\
(X):
seen = set()
result = []
for item in X:
    if item not in seen:
        seen.add(item)
        result.append(item)
return result"""),
    ("group", "Group X by key.", """\
(X, key):
groups = {}
for item in X:
    groups.setdefault(key(item), []).append(item)
return groups"""),
)  # fmt: skip
"""Name, what it does, and arguments and body, the body not indented."""
