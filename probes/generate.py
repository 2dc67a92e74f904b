#!/usr/bin/env python3
"""Writes the probes whose answers can be computed: arithmetic, word problems, code to read, SQL to read, puzzles.

    python3 probes/generate.py

Every answer is worked out here, by arithmetic, by running the code that is shown, or by trying every case; puzzles with more
than one solution are thrown away. The seed is fixed, so the files come out the same. The other files of this folder are written
by hand.
"""

import contextlib
import io
import itertools
import json
import math
import random
import sqlite3
from datetime import date, timedelta
from pathlib import Path

FOLDER = Path(__file__).parent
NUMBER_ENDINGS = [
    "Answer with the number only.",
    "Think step by step and end with a line of the form `Answer: <number>`.",
    "",
]


def write(topic, probes):
    lines, once = [], {prompt: (level, prompt, grade) for level, prompt, grade in probes}
    for index, (level, prompt, grade) in enumerate(once.values(), 1):
        probe = {"id": f"{topic}-{index:02}", "topic": topic, "level": level, "prompt": prompt, "grade": grade}
        lines.append(json.dumps(probe, ensure_ascii=False))
    (FOLDER / f"{topic}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")


def numeric(rng, level, question, value):
    ending = rng.choice(NUMBER_ENDINGS[:2] if level == "hard" else NUMBER_ENDINGS)
    return level, f"{question} {ending}".strip(), {"number": value}


def arithmetic(rng):
    for _ in range(4):
        a, b = rng.randint(120, 999), rng.randint(120, 999)
        yield numeric(rng, "easy", f"What is {a} + {b}?", a + b)
        a, b = rng.randint(500, 999), rng.randint(100, 499)
        yield numeric(rng, "easy", f"Subtract {b} from {a}.", a - b)
        a, b = rng.randint(12, 25), rng.randint(3, 9)
        yield numeric(rng, "easy", f"Multiply {a} by {b}.", a * b)
        p, n = rng.choice([10, 20, 25, 50]), rng.randint(3, 30) * 20
        yield numeric(rng, "easy", f"What is {p} % of {n}?", p * n // 100)
    for _ in range(3):
        a, b, c, d = rng.randint(11, 60), rng.randint(11, 60), rng.randint(3, 19), rng.randint(20, 200)
        yield numeric(rng, "medium", f"Work out ({a} + {b}) * {c} - {d}.", (a + b) * c - d)
        a, b = rng.randint(100, 999), rng.randint(12, 99)
        yield numeric(rng, "medium", f"What is {a} times {b}?", a * b)
        a, b = rng.randint(200, 900), rng.randint(7, 23)
        yield numeric(rng, "medium", f"What is the remainder when {a} is divided by {b}?", a % b)
        g = rng.randint(6, 24)
        a, b = g * rng.choice([5, 7, 11]), g * rng.choice([4, 9, 13])
        yield numeric(rng, "medium", f"What is the greatest common divisor of {a} and {b}?", math.gcd(a, b))
        a, b = rng.randint(8, 30), rng.randint(8, 30)
        yield numeric(rng, "medium", f"What is the least common multiple of {a} and {b}?", math.lcm(a, b))
    n = rng.randint(500, 1000)
    yield numeric(rng, "medium", f"Write the decimal number {n} in binary.", int(bin(n)[2:]))
    for _ in range(3):
        a, b = rng.randint(2000, 9999), rng.randint(2000, 9999)
        yield numeric(rng, "hard", f"Compute {a} * {b} exactly.", a * b)
        a, e, m = rng.randint(3, 12), rng.randint(20, 60), rng.choice([11, 13, 17, 19, 23])
        yield numeric(rng, "hard", f"What is {a}^{e} modulo {m}?", pow(a, e, m))
        n = rng.choice([360, 504, 720, 756, 1008, 1260, 1386, 1680, 2016, 2310])
        divisors = sum(n % d == 0 for d in range(1, n + 1))
        yield numeric(rng, "hard", f"How many positive divisors does {n} have, 1 and itself included?", divisors)
        n, k = rng.randint(9, 14), rng.randint(3, 5)
        yield numeric(rng, "hard", f"In how many ways can {k} people be chosen out of {n}, such that two particular people are not both chosen?", math.comb(n, k) - math.comb(n - 2, k - 2))
        x, y = rng.randint(2, 20), rng.randint(2, 20)
        a, b, c, d = 7, 3, 5, 11
        yield numeric(rng, "hard", f"If {a}x + {b}y = {a*x+b*y} and {c}x - {d}y = {c*x-d*y}, what is x + y?", x + y)
    n = rng.randint(200, 400)
    multiples = sum(k for k in range(1, n + 1) if k % 3 == 0 or k % 5 == 0)
    yield numeric(rng, "hard", f"What is the sum of all whole numbers from 1 to {n} that are divisible by 3 or by 5?", multiples)


NAMES = ["Ada", "Ben", "Chloe", "Dmitri", "Elif", "Farah", "Goran", "Hana", "Igor", "Jun", "Kofi", "Lena", "Mateo", "Nadia"]


def word_problems(rng):
    for _ in range(4):
        who, n, price = rng.choice(NAMES), rng.randint(4, 12), rng.randint(2, 9)
        paid = (n * price // 10 + 1) * 10
        yield numeric(rng, "easy", f"{who} buys {n} notebooks at {price} euros each and pays with {paid} euros. How many euros of change does {who} get?", paid - n * price)
        who, speed, hours = rng.choice(NAMES), rng.randint(12, 25), rng.randint(2, 6)
        yield numeric(rng, "easy", f"{who} cycles at a steady {speed} kilometres per hour for {hours} hours. How many kilometres is that?", speed * hours)
        rows, seats, free = rng.randint(8, 20), rng.randint(10, 24), rng.randint(5, 40)
        yield numeric(rng, "easy", f"A hall has {rows} rows of {seats} seats. {free} seats are empty. How many people sit in the hall?", rows * seats - free)
    pipes = rng.sample([(6, 3), (12, 4), (20, 5), (30, 6), (15, 10), (12, 6), (24, 8), (30, 20)], 5)
    for pipe_a, pipe_b in pipes:
        both = pipe_a * pipe_b / (pipe_a + pipe_b)
        yield numeric(rng, "hard", f"One pipe fills a tank in {pipe_a} hours, another fills it in {pipe_b} hours. Both are opened at once on the empty tank. After how many minutes is it full?", round(both * 60))
    for _ in range(5):
        k, packs, eaten = rng.randint(6, 12), rng.randint(5, 9), rng.randint(3, 9)
        children = rng.choice([d for d in range(2, 13) if (k * packs - eaten) % d == 0] or [1])
        yield numeric(rng, "medium", f"A teacher opens {packs} boxes of {k} pencils each, keeps {eaten} pencils for herself and shares the rest equally among {children} children. How many pencils does each child get?", (k * packs - eaten) // children)
        a, ratio, extra = rng.randint(6, 15), rng.randint(2, 4), rng.randint(3, 12)
        one, two = rng.sample(NAMES, 2)
        yield numeric(rng, "medium", f"{one} has {a} stamps. {two} has {extra} more than {ratio} times as many. How many stamps do they have together?", a + ratio * a + extra)
        price = rng.randint(4, 20) * 20
        off, tax = rng.choice([10, 20, 25]), rng.choice([5, 10, 20])
        total = round(price * (100 - off) * (100 + tax) / 10000, 2)
        yield numeric(rng, "medium", f"A coat costs {price} dollars. It is reduced by {off} %, and then a tax of {tax} % is added to the reduced price. What is the final price in dollars?", total)
    for _ in range(5):
        now, years, factor = rng.randint(5, 12), rng.randint(3, 8), rng.randint(2, 3)
        parent = factor * (now + years) - years
        one, two = rng.sample(NAMES, 2)
        yield numeric(rng, "hard", f"In {years} years {one} will be {factor} times as old as {two} will be then. Today the two are {parent + now} years old together. How old is {one} today?", parent)
        gap, v1 = rng.randint(2, 6) * 60, rng.choice([60, 80])
        v2 = v1 + rng.choice([20, 40])
        head = rng.choice([1, 2])
        hours = v1 * head / (v2 - v1)
        yield numeric(rng, "hard", f"A lorry leaves a depot at {v1} km/h. {head} hour{'s' if head > 1 else ''} later a car follows it on the same road at {v2} km/h. The next town is {gap + 900} km away. How many kilometres from the depot does the car catch the lorry?", round(v2 * hours, 6))


def run(code):
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(code, {})
    return out.getvalue().strip()


READINGS = [
    ("easy", "total = 0\nfor i in range({a}, {b}):\n    if i % 2 == 0:\n        total += i\nprint(total)"),
    ("easy", "words = ['{w}', '{v}', '{u}']\nprint('-'.join(w.upper() for w in reversed(words)))"),
    ("easy", "xs = {xs}\nprint(sorted(xs)[1:4])"),
    ("easy", "def f(n):\n    return n * {a} + 1\nprint(f(f({c})))"),
    ("medium", "def f(n):\n    return n if n < 2 else f(n - 1) + f(n - 2)\nprint([f(i) for i in range({c}, {c} + 4)])"),
    ("medium", "seen = {{}}\nfor i, c in enumerate('{w}{v}'):\n    seen.setdefault(c, []).append(i)\nprint({{k: v for k, v in seen.items() if len(v) > 1}})"),
    ("medium", "a, b = {a}, {b}\nsteps = 0\nwhile b:\n    a, b = b, a % b\n    steps += 1\nprint(a, steps)"),
    ("medium", "def add(x, acc=[]):\n    acc.append(x)\n    return acc\nadd({a})\nadd({b})\nprint(add({c}), len(add(0)))"),
    ("medium", "xs = {xs}\nfor i in range(len(xs) - 1):\n    if xs[i] > xs[i + 1]:\n        xs[i], xs[i + 1] = xs[i + 1], xs[i]\nprint(xs)"),
    ("hard", "n = {b}\nseq = []\nwhile n != 1 and len(seq) < 12:\n    seq.append(n)\n    n = n // 2 if n % 2 == 0 else 3 * n + 1\nprint(seq[-3:], len(seq))"),
    ("hard", "def g():\n    x = {c}\n    while True:\n        y = yield x\n        x = x * 2 + (y or 1)\nit = g()\nr = [next(it), it.send({a}), next(it), it.send(0)]\nprint(r)"),
    ("hard", "m = [[(i * {c} + j * {d}) % 7 for j in range(4)] for i in range(3)]\nt = [list(r) for r in zip(*m)]\nprint(t[1], sum(max(r) for r in t))"),
    ("hard", "fs = [lambda x: x + i for i in range(3)]\nhs = [lambda x, i=i: x * i for i in range(3)]\nprint([f({a}) for f in fs], [h({c}) for h in hs])"),
    ("hard", "s = '{w}{u}'\nk = {c}\nprint(''.join(chr((ord(ch) - 97 + k * i) % 26 + 97) for i, ch in enumerate(s)))"),
]


def code_reading(rng):
    words = ["lamp", "river", "stone", "cobalt", "meadow", "anchor", "pepper", "willow", "banana", "copper", "saddle", "tunnel"]
    for level, template in READINGS:
        for _ in range(2 if level == "medium" else 3):
            w, v, u = rng.sample(words, 3)
            xs = rng.sample(range(1, 40), 6)
            code = template.format(a=rng.randint(3, 9), b=rng.randint(14, 40), c=rng.randint(2, 6), d=rng.randint(2, 9), w=w, v=v, u=u, xs=xs)
            prompt = f"What does this Python program print? Reply with exactly the printed text and nothing else.\n\n```python\n{code}\n```"
            yield level, prompt, {"output": run(code)}
    rows = [(name, rng.choice(["tools", "books", "toys"]), rng.randint(1, 9), rng.randint(2, 40)) for name in rng.sample(words, 8)]
    table = "\n".join(f"('{n}', '{k}', {q}, {p})" for n, k, q, p in rows)
    base = sqlite3.connect(":memory:")
    base.execute("create table items(name text, kind text, quantity int, price int)")
    base.executemany("insert into items values (?, ?, ?, ?)", rows)
    queries = [
        ("easy", "select count(*) from items where price > 20"),
        ("medium", "select sum(quantity * price) from items where kind <> 'toys'"),
        ("medium", "select count(distinct kind) * max(quantity) from items"),
        ("hard", "select max(t) - min(t) from (select sum(quantity * price) as t from items group by kind)"),
        ("hard", "select count(*) from items a join items b on a.kind = b.kind and a.price < b.price"),
    ]
    for level, query in queries:
        [(value,)] = base.execute(query).fetchall()
        prompt = f"The SQL table items(name, kind, quantity, price) holds these rows:\n\n{table}\n\nWhat single number does this query return? Reply with the number only.\n\n{query};"
        yield level, prompt, {"number": value}


def orderings(rng):
    for level, size in [("easy", 3), ("easy", 3), ("easy", 3), ("medium", 4), ("medium", 4), ("medium", 4), ("medium", 4), ("hard", 6), ("hard", 6), ("hard", 6), ("hard", 6)]:
        people = rng.sample(NAMES, size)
        truth = rng.sample(people, size)
        place = {p: i for i, p in enumerate(truth)}
        pool = []
        for a, b in itertools.permutations(people, 2):
            if place[a] < place[b]:
                pool.append((f"{a} finished before {b}.", lambda o, a=a, b=b: o.index(a) < o.index(b)))
            if place[a] + 1 == place[b] and size > 3:
                pool.append((f"{b} finished directly after {a}.", lambda o, a=a, b=b: o.index(a) + 1 == o.index(b)))
            if size > 4 and place[b] - place[a] == 2:
                pool.append((f"Exactly one person finished between {a} and {b}.", lambda o, a=a, b=b: abs(o.index(a) - o.index(b)) == 2))
        for p in people:
            if place[p] not in (0, size - 1) and size > 3:
                pool.append((f"{p} was neither first nor last.", lambda o, p=p: o.index(p) not in (0, size - 1)))
        rng.shuffle(pool)
        chosen, left = [], list(itertools.permutations(people))
        for text, test in pool:
            fewer = [o for o in left if test(o)]
            if len(fewer) < len(left):
                chosen.append(text)
                left = fewer
            if len(left) == 1:
                break
        assert len(left) == 1
        rank = rng.randrange(size)
        ordinal = ["first", "second", "third", "fourth", "fifth", "sixth"][rank]
        prompt = f"{size} people ran a race and no two finished together: {', '.join(people)}. {' '.join(chosen)} Who finished {ordinal}? End with a line of the form `Answer: <name>`."
        yield level, prompt, {"text": [left[0][rank]]}


def knights(rng):
    made = 0
    while made < 8:
        size = 2 if made < 3 else 3
        people = rng.sample(NAMES, size)
        claims = []
        for speaker in range(size):
            other = rng.choice([i for i in range(size) if i != speaker])
            kind = rng.randrange(3)
            if kind == 0:
                claims.append((speaker, f"{people[other]} is a knave", lambda w, o=other: not w[o]))
            elif kind == 1:
                claims.append((speaker, f"{people[other]} and I are of the same kind", lambda w, o=other, s=speaker: w[o] == w[s]))
            else:
                claims.append((speaker, f"exactly one of us {size} is a knight", lambda w: sum(w) == 1))
        worlds = [w for w in itertools.product([True, False], repeat=size) if all(test(w) == w[s] for s, _, test in claims)]
        if len(worlds) != 1:
            continue
        made += 1
        said = " ".join(f'{people[s]} says: "{text[0].upper() + text[1:]}."' for s, text, _ in claims)
        asked = rng.randrange(size)
        prompt = f"On an island knights always tell the truth and knaves always lie. {said} Is {people[asked]} a knight or a knave? End with a line of the form `Answer: knight` or `Answer: knave`."
        yield ("medium" if size == 2 else "hard"), prompt, {"text": ["knight" if worlds[0][asked] else "knave"]}


def tracking(rng):
    for level, swaps in [("easy", 2), ("easy", 2), ("medium", 5), ("medium", 5), ("hard", 9), ("hard", 9)]:
        people = rng.sample(NAMES, 4)
        things = rng.sample(["red ball", "green ball", "blue ball", "white ball", "black ball"], 4)
        owns = dict(zip(people, things))
        start = ", ".join(f"{p} has the {t}" for p, t in owns.items())
        story = []
        for _ in range(swaps):
            a, b = rng.sample(people, 2)
            owns[a], owns[b] = owns[b], owns[a]
            story.append(f"{a} and {b} swap.")
        who = rng.choice(people)
        colour = owns[who].split()[0]
        yield level, f"{start}. {' '.join(story)} Which colour of ball does {who} have now? End with a line of the form `Answer: <colour>`.", {"text": [colour]}


def calendars(rng):
    days = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
    for level, low, high in [("easy", 2, 6), ("easy", 7, 20), ("medium", 40, 90), ("medium", 100, 200), ("hard", 500, 900), ("hard", 1000, 3000)]:
        day, ahead = rng.randrange(7), rng.randint(low, high)
        yield level, f"Today is {days[day]}. Which day of the week is it in {ahead} days? Answer with the day only.", {"text": [days[(day + ahead) % 7]]}
    for level in ["medium", "hard", "hard"]:
        a = date(rng.randint(2001, 2023), rng.randint(1, 12), rng.randint(1, 28))
        b = a + timedelta(days=rng.randint(30, 90) if level == "medium" else rng.randint(400, 1500))
        yield level, f"How many days lie between {a.isoformat()} and {b.isoformat()}, counting the second date but not the first? End with a line of the form `Answer: <number>`.", {"number": (b - a).days}


def letters(rng):
    words = ["Mississippi", "strawberry", "bookkeeper", "committee", "parallel", "unnecessary", "electricity", "onomatopoeia"]
    for level, word in zip(["easy", "easy", "medium", "medium"], rng.sample(words, 4)):
        letter = max(set(word.lower()), key=lambda c: (word.lower().count(c), c))
        yield level, f"How often does the letter \"{letter}\" occur in the word \"{word}\"? Answer with the number only.", {"number": word.lower().count(letter)}
    for level, word in zip(["easy", "medium", "hard"], ["planet", "crossroad", "thunderstorms"]):
        yield level, f"Write the word \"{word}\" backwards. Answer with that word only.", {"text": [word[::-1]]}
    for level, (start, rule, shown) in zip(["easy", "medium", "hard", "hard"], [(3, lambda x, i: x + 7, 5), (2, lambda x, i: x * 2 + 1, 5), (1, lambda x, i: x + i * i, 6), (5, lambda x, i: x * 2 - i, 6)]):
        xs = [start]
        for i in range(1, shown + 1):
            xs.append(rule(xs[-1], i))
        yield level, f"Which number comes next: {', '.join(map(str, xs[:-1]))}, ...? Answer with the number only.", {"number": xs[-1]}


def main():
    rng = random.Random(20)
    write("arithmetic", list(arithmetic(rng)))
    write("word_problems", list(word_problems(rng)))
    write("code_reading", list(code_reading(rng)))
    puzzles = [*orderings(rng), *knights(rng), *tracking(rng), *calendars(rng), *letters(rng)]
    write("reasoning", puzzles)


main()
