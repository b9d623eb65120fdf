"""Linear algebra modulo a prime on lists, for tests: what follows from what one knows."""


def rank(rows, p):
    """Rank of a matrix modulo p."""
    rows, found = [[x % p for x in row] for row in rows], 0
    for column in range(len(rows[0]) if rows else 0):
        pivot = next((k for k in range(found, len(rows)) if rows[k][column]), None)
        if pivot is None:
            continue
        rows[found], rows[pivot] = rows[pivot], rows[found]
        inverse = pow(rows[found][column], -1, p)
        rows[found] = [x * inverse % p for x in rows[found]]
        for k in range(len(rows)):
            if k != found and rows[k][column]:
                factor = rows[k][column]
                rows[k] = [(a - factor * b) % p for a, b in zip(rows[k], rows[found], strict=True)]
        found += 1
    return found


def num_revealed(rows, num_secret, p):
    """How many independent combinations of the first `num_secret` unknowns the rows give away.

    `rows` are what an observer sees, as combinations of secret unknowns followed by unknowns that
    are uniform and independent. A combination of rows in which all of the latter cancel is a
    combination of secrets alone; the rest of what is seen is uniform whatever the secrets are.
    """
    return rank(rows, p) - rank([row[num_secret:] for row in rows], p)
