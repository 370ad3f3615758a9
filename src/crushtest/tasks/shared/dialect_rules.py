"""Rules that turn mainstream American English into African American English, one rule per grammatical feature.

A rule takes the words of a slot that an author has marked for the feature. It raises ValueError if African American
English does not have the feature in these words, because an ungrammatical sentence would measure noise. Sources,
constraints and eWAVE numbers stand at the head of `probes/dialect.yaml`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

Rule = Callable[[str], str]

_SLOT = re.compile(r"\{([a-z_+]+): ([^}]+)\}")
_BE = r"(?:'m|'re|'s| am| are| is)"  # after a subject
_INDEFINITES = {
    "any": "no",
    "a": "no",
    "anything": "nothing",
    "anybody": "nobody",
    "anyone": "no one",
    "anywhere": "nowhere",
    "ever": "never",
}
_IRREGULAR_BASES = {"has": "have", "does": "do", "doesn't": "don't", "goes": "go"}
_PASTS = {"told": "tell", "saw": "see", "said": "say", "came": "come", "knew": "know", "wanted": "want"}
_NEGATED = {
    **dict.fromkeys(("is", "are", "has", "have"), "Ain't"),
    **{"can": "Can't", "could": "Couldn't", "will": "Won't", "would": "Wouldn't", "should": "Shouldn't"},
}


class Pair(NamedTuple):
    """The two sides of a sentence, and the features in which they differ, in the order of their slots."""

    mainstream: str
    aae: str
    features: tuple[str, ...]


def render(sentence: str) -> Pair:
    """Return both sides of a sentence with slots.

    >>> render("{copula_absence: She's at} {possessive_s_absence: Maria's house}.")
    Pair(mainstream="She's at Maria's house.", aae='She at Maria house.', features=('copula_absence', \
'possessive_s_absence'))

    Raises ValueError for a feature without a rule and for words that its rule refuses.
    """
    features: list[str] = []

    def rewrite(slot: re.Match[str]) -> str:
        words = slot[2]
        for feature in slot[1].split("+"):
            if feature not in RULES:
                raise ValueError(f"no rule for {feature!r}")
            words = RULES[feature](words)
            features.append(feature)
        return words

    aae = _SLOT.sub(rewrite, sentence)
    return Pair(_SLOT.sub(r"\2", sentence), aae, tuple(dict.fromkeys(features)))


def habitual_be(words: str) -> str:
    """Mark habit: `is` -> `be`, `I'm` -> `I be`, `works` -> `be working`.

    Refuses the past and the future, which habitual be does not have.
    """
    if re.search(r"\b(was|were|will|had|did)\b|'ll", words):
        raise _refused("habitual_be", words, "habitual be is not past or future")
    copula = re.fullmatch(rf"(.+){_BE}|am|are|is", words)
    if copula:
        return f"{copula[1] or ''} be".strip()
    return f"be {_progressive(base(words))}"


def copula_absence(words: str) -> str:
    """Leave out is or are before a word: `She is at`, `She's at` -> `She at`.

    Refuses `am`, the past and the end of a clause. The subjects I, it, that, what, there and here
    are refused because they keep the copula.
    """
    copula = re.fullmatch(r"(.+?) (?:is|are) (\w.*)", words) or re.fullmatch(r"(.+?)(?:'s|'re) (\w.*)", words)
    if not copula:
        raise _refused("copula_absence", words, "only is and are before a word are left out")
    if copula[1].lower() in {"i", "it", "that", "what", "there", "here"}:
        raise _refused("copula_absence", words, f"the copula stays after {copula[1]!r}")
    return f"{copula[1]} {copula[2]}"


def negative_concord(words: str) -> str:
    """Negate the indefinites after a negation: `don't have any` -> `don't have no`.

    Refuses words without a negation before the indefinite.
    """
    negation = re.match(r"(?:.*?(?:n't|\b[Nn]ever|\b[Nn]obody|\b[Nn]o)\b)", words)
    if not negation:
        raise _refused("negative_concord", words, "there is no negation to agree with")
    rest = words[negation.end() :]
    agreed = " ".join(_INDEFINITES.get(word, word) for word in rest.split(" "))
    if agreed == rest:
        raise _refused("negative_concord", words, "there is no indefinite after the negation")
    return words[: negation.end()] + agreed


def negative_inversion(words: str) -> str:
    """Put a negated auxiliary first: `Nobody can` -> `Can't nobody`, `Nobody told` -> `Didn't nobody tell`.

    Refuses subjects that are not negative.
    """
    head = re.match(r"(Nobody|No \w+) ([\w']+)", words)
    if not head:
        raise _refused("negative_inversion", words, "the subject must be nobody or no ...")
    auxiliary, verb = _negated(head[2])
    subject = head[1][0].lower() + head[1][1:]
    return f"{auxiliary} {subject}{verb and ' ' + verb}{words[head.end() :]}"


def _negated(verb: str) -> tuple[str, str]:
    """Return (negated auxiliary, remaining main verb) of a finite verb: `told` -> (`Didn't`, `tell`)."""
    if verb in _NEGATED:
        return _NEGATED[verb], ""
    if verb in _PASTS:
        return "Didn't", _PASTS[verb]
    return "Don't", base(verb)


def aint(words: str) -> str:
    """Replace `isn't`, `haven't`, `didn't` and `'m not` by `ain't`: `I'm not` -> `I ain't`.

    Refuses doesn't, don't, can't, won't and the past of be, which keep their form.
    """
    negated, count = re.subn(rf"\b(?:is|are|has|have|did)n't\b|{_BE} not\b", "ain't", words, count=1)
    if not count:
        raise _refused("aint", words, "only forms of be, of have and didn't become ain't")
    return re.sub(r"(\w)ain't", r"\1 ain't", negated)


def completive_done(words: str) -> str:
    """Mark completion: `has finished` -> `done finished`, `I've told` -> `I done told`.

    Refuses been, because a state is not completed.
    """
    perfect = re.fullmatch(r"(.*?)(?:'ve|'s|\b ?ha(?:ve|s)) (\w+)", words)
    if not perfect or perfect[2] == "been":
        raise _refused("completive_done", words, "only have + participle of something done becomes done")
    return f"{perfect[1]} done {perfect[2]}".strip()


def remote_past_been(words: str) -> str:
    """Mark a remote past: `has been married for years` -> `been married`.

    `paid that bill a long time ago` -> `been paid that bill`. Stressed been says by itself that a state began or an
    event happened long ago. Refuses words that do not end with such a time.
    """
    remote = _matched(
        "remote_past_been",
        r"(?:ha(?:ve|s) )?(?:been )?(.+) (?:for years|for a long time|a long time ago)",
        words,
        "the words must end with a long time, which been stands for",
    )
    return f"been {remote[1]}"


def third_person_s_absence(words: str) -> str:
    """Drop the ending of the first word, a verb: `walks` -> `walk`, `doesn't` -> `don't`.

    Refuses is and was, which do not lose it.
    """
    verb, space, rest = words.partition(" ")
    if base(verb) == verb or verb in {"is", "was", "isn't", "wasn't"}:
        raise _refused("third_person_s_absence", words, "the first word must be a main verb in -s, has or does")
    return base(verb) + space + rest


def possessive_s_absence(words: str) -> str:
    """Drop the possessive ending: `my brother's car` -> `my brother car`.

    Refuses a possessive that no noun follows, which keeps its ending.
    """
    possessive = _matched("possessive_s_absence", r"(.*\w)'s (\w+)", words, "a noun must follow the possessive")
    return f"{possessive[1]} {possessive[2]}"


def existential_it(words: str) -> str:
    """Replace existential there by it: `There is`, `There are` -> `It's`; `Is there` -> `Is it`.

    The past has `was` for both numbers.
    """
    clause = _matched(
        "existential_it",
        r"([Tt])here(?:('s| is| are)|( was| were)|( isn't| aren't))(|[ ].*)|Is there",
        words,
        "the words must begin with there + be, or be `Is there`",
    )
    if not clause[1]:
        return "Is it"
    pronoun = "It" if clause[1] == "T" else "it"
    verb = "'s" if clause[2] else " was" if clause[3] else " isn't"
    return pronoun + verb + clause[5]


def was_leveling(words: str) -> str:
    """Level the past of be: `were` -> `was`, `weren't` -> `wasn't`."""
    if words not in {"were", "weren't"}:
        raise _refused("was_leveling", words, "only were and weren't are levelled")
    return words.replace("were", "was")


def question_without_auxiliary(words: str) -> str:
    """Leave out is, are, have or has after a question word: `Where are you` -> `Where you`.

    Refuses yes/no questions and all other auxiliaries, which carry meaning.
    """
    question = _matched(
        "question_without_auxiliary",
        r"((?:What|When|Where|Who|Why|How)(?: \w+)?) (?:are|is|have|has) (\w+)",
        words,
        "only is, are and have after a question word are left out",
    )
    return f"{question[1]} {question[2]}"


def inverted_indirect_question(words: str) -> str:
    """Give a reported question the word order of a direct one: `if I could` -> `could I`."""
    clause = _matched(
        "inverted_indirect_question",
        r"(?:if|whether) (.+) (\w+)",
        words,
        "the words must be if or whether, a subject, an auxiliary",
    )
    return f"{clause[2]} {clause[1]}"


def base(verb: str) -> str:
    """Return a third-person verb without its ending, and any other verb unchanged.

    >>> [base(verb) for verb in ("walks", "watches", "tries", "has", "doesn't", "sit")]
    ['walk', 'watch', 'try', 'have', "don't", 'sit']
    """
    if verb in _IRREGULAR_BASES:
        return _IRREGULAR_BASES[verb]
    if verb.endswith("ies") and len(verb) > 4:
        return verb[:-3] + "y"
    if re.search(r"(?:ch|sh|ss|x|zz)es$", verb):
        return verb[:-2]
    return verb[:-1] if verb.endswith("s") and not verb.endswith("ss") else verb


def _progressive(verb: str) -> str:
    """Return the -ing form of a verb of one syllable, or without doubling: `make` -> `making`, `sit` -> `sitting`."""
    if verb.endswith("e") and not verb.endswith("ee"):
        return verb[:-1] + "ing"
    if re.fullmatch(r"[^aeiou]*[aeiou][bdgklmnprt]", verb):
        return verb + verb[-1] + "ing"
    return verb + "ing"


def _matched(feature: str, pattern: str, words: str, reason: str) -> re.Match[str]:
    """Match all of the words. Raises ValueError with the reason if they do not fit the pattern."""
    match = re.fullmatch(pattern, words)
    if not match:
        raise _refused(feature, words, reason)
    return match


def _refused(feature: str, words: str, reason: str) -> ValueError:
    return ValueError(f"{feature}: {reason} (got {words!r})")


RULES: dict[str, Rule] = {
    rule.__name__: rule
    for rule in (
        habitual_be,
        copula_absence,
        negative_concord,
        negative_inversion,
        aint,
        completive_done,
        remote_past_been,
        third_person_s_absence,
        possessive_s_absence,
        existential_it,
        was_leveling,
        question_without_auxiliary,
        inverted_indirect_question,
    )
}
