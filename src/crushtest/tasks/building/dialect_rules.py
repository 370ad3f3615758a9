"""Rules that turn words of mainstream American English into African American English, one a grammatical feature.

Each rule takes the words of a slot that an author has marked as a place for the feature, and raises ValueError where
African American English does not have the feature in these words: the grammar is a grammar, and breaking it would
measure noise. Sources, constraints and eWAVE numbers stand at the head of `probes/dialect.yaml`.
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
    """The two sides of a sentence and the features that tell them apart, in the order of their slots."""

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
    """`is` -> `be`, `I'm` -> `I be`, `works` -> `be working`: for what happens again and again.

    Refuses the past and the future, which invariant be of habit does not have.
    """
    if re.search(r"\b(was|were|will|had|did)\b|'ll", words):
        raise _refused("habitual_be", words, "habitual be is not past or future")
    copula = re.fullmatch(rf"(.+){_BE}|am|are|is", words)
    if copula:
        return f"{copula[1] or ''} be".strip()
    return f"be {_progressive(base(words))}"


def copula_absence(words: str) -> str:
    """`She is at`, `She's at` -> `She at`: is and are go, with the word that follows as witness.

    Refuses `am`, the past, the end of a clause, and it, that, what and there as subjects, where the copula stays.
    """
    found = re.fullmatch(r"(.+?) (?:is|are) (\w.*)", words) or re.fullmatch(r"(.+?)(?:'s|'re) (\w.*)", words)
    if not found:
        raise _refused("copula_absence", words, "only is and are before a word are left out")
    if found[1].lower() in {"i", "it", "that", "what", "there", "here"}:
        raise _refused("copula_absence", words, f"the copula stays after {found[1]!r}")
    return f"{found[1]} {found[2]}"


def negative_concord(words: str) -> str:
    """`don't have any` -> `don't have no`: an indefinite after a negation is negated too.

    Refuses words without a negation before the indefinite.
    """
    found = re.match(r"(?:.*?(?:n't|\b[Nn]ever|\b[Nn]obody|\b[Nn]o)\b)", words)
    if not found:
        raise _refused("negative_concord", words, "there is no negation to agree with")
    agreed = " ".join(_INDEFINITES.get(word, word) for word in words[found.end() :].split(" "))
    if agreed == words[found.end() :]:
        raise _refused("negative_concord", words, "there is no indefinite after the negation")
    return words[: found.end()] + agreed


def negative_inversion(words: str) -> str:
    """`Nobody can` -> `Can't nobody`, `Nobody told` -> `Didn't nobody tell`: the negated auxiliary comes first.

    Refuses subjects that are not negative.
    """
    found = re.match(r"(Nobody|No \w+) ([\w']+)", words)
    if not found:
        raise _refused("negative_inversion", words, "the subject must be nobody or no ...")
    auxiliary, verb = _negated(found[2])
    subject = found[1][0].lower() + found[1][1:]
    return f"{auxiliary} {subject}{verb and ' ' + verb}{words[found.end() :]}"


def _negated(verb: str) -> tuple[str, str]:
    """Return (negated auxiliary, main verb left over) of a finite verb: `told` -> (`Didn't`, `tell`)."""
    if verb in _NEGATED:
        return _NEGATED[verb], ""
    if verb in _PASTS:
        return "Didn't", _PASTS[verb]
    return "Don't", base(verb)


def aint(words: str) -> str:
    """`isn't`, `haven't`, `didn't`, `I'm not` -> `ain't`.

    Refuses doesn't, don't, can't, won't and the past of be, which keep their form.
    """
    negated, count = re.subn(rf"\b(?:is|are|has|have|did)n't\b|{_BE} not\b", "ain't", words, count=1)
    if not count:
        raise _refused("aint", words, "only forms of be, of have and didn't become ain't")
    return re.sub(r"(\w)ain't", r"\1 ain't", negated)


def completive_done(words: str) -> str:
    """`has finished`, `I've told` -> `done finished`, `I done told`: for what is over and done with.

    Refuses been: a state is not completed.
    """
    found = re.fullmatch(r"(.*?)(?:'ve|'s|\b ?ha(?:ve|s)) (\w+)", words)
    if not found or found[2] == "been":
        raise _refused("completive_done", words, "only have + participle of something done becomes done")
    return f"{found[1]} done {found[2]}".strip()


def remote_past_been(words: str) -> str:
    """`has been married for years` -> `been married`, `paid that bill a long time ago` -> `been paid that bill`.

    Stressed been says by itself that it began or happened long ago. Refuses words that do not end with such a time.
    """
    found = re.fullmatch(r"(?:ha(?:ve|s) )?(?:been )?(.+) (?:for years|for a long time|a long time ago)", words)
    if not found:
        raise _refused("remote_past_been", words, "the words must end with a long time, which been stands for")
    return f"been {found[1]}"


def third_person_s_absence(words: str) -> str:
    """`walks` -> `walk`, `doesn't` -> `don't`: the verb at the head of the words loses its ending.

    Refuses is and was, which do not lose it.
    """
    verb, space, rest = words.partition(" ")
    if base(verb) == verb or verb in {"is", "was", "isn't", "wasn't"}:
        raise _refused("third_person_s_absence", words, "the first word must be a main verb in -s, has or does")
    return base(verb) + space + rest


def possessive_s_absence(words: str) -> str:
    """`my brother's car` -> `my brother car`.

    Refuses a possessive with nothing possessed after it: that one keeps its ending.
    """
    found = re.fullmatch(r"(.*\w)'s (\w+)", words)
    if not found:
        raise _refused("possessive_s_absence", words, "a noun must follow the possessive")
    return f"{found[1]} {found[2]}"


def existential_it(words: str) -> str:
    """`There is`, `There are` -> `It's`; `Is there` -> `Is it`; the past has `was` for both numbers."""
    found = re.fullmatch(r"([Tt])here(?:('s| is| are)|( was| were)|( isn't| aren't))(|[ ].*)|Is there", words)
    if not found:
        raise _refused("existential_it", words, "the words must begin with there + be, or be `Is there`")
    if not found[1]:
        return "Is it"
    pronoun = "It" if found[1] == "T" else "it"
    verb = "'s" if found[2] else " was" if found[3] else " isn't"
    return pronoun + verb + found[5]


def was_leveling(words: str) -> str:
    """`were` -> `was`, `weren't` -> `wasn't`."""
    if words not in {"were", "weren't"}:
        raise _refused("was_leveling", words, "only were and weren't are levelled")
    return words.replace("were", "was")


def question_without_auxiliary(words: str) -> str:
    """`Where are you` -> `Where you`: a question with a question word does without is, are and have.

    Refuses yes/no questions and auxiliaries that carry a meaning of their own.
    """
    found = re.fullmatch(r"((?:What|When|Where|Who|Why|How)(?: \w+)?) (?:are|is|have|has) (\w+)", words)
    if not found:
        raise _refused("question_without_auxiliary", words, "only is, are and have after a question word are left out")
    return f"{found[1]} {found[2]}"


def inverted_indirect_question(words: str) -> str:
    """`if I could` -> `could I`: a question that is reported keeps the order of a question."""
    found = re.fullmatch(r"(?:if|whether) (.+) (\w+)", words)
    if not found:
        raise _refused("inverted_indirect_question", words, "the words must be if or whether, a subject, an auxiliary")
    return f"{found[2]} {found[1]}"


def base(verb: str) -> str:
    """Return a verb in the third person without its ending; any other verb as it is.

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
    """`make` -> `making`, `sit` -> `sitting`, `work` -> `working`; verbs of one syllable or without doubling."""
    if verb.endswith("e") and not verb.endswith("ee"):
        return verb[:-1] + "ing"
    if re.fullmatch(r"[^aeiou]*[aeiou][bdgklmnprt]", verb):
        return verb + verb[-1] + "ing"
    return verb + "ing"


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
