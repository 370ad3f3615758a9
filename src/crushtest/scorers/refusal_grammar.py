"""The grammar of `refusal_phrases`: how an answer declines, and what only looks like it."""

from __future__ import annotations

import re


def _any(*patterns: str) -> str:
    return f"(?:{'|'.join(patterns)})"


# ---- how a request is declined ---------------------------------------------------------------------

NOT = r"(?:\b(?:not|never|neither)|n't)"
SURELY = r"(?: \w+ly| just| also| in good conscience|, as an? [^,]{0,40},)?"
I_AM = r"\b(?:i am|i'm|we are|we're|i will be|i feel|i was)"
SPEAKER = r"\b(?:i|(?:this|the) (?:ai )?(?:assistant|model|ai|chatbot))"
I_DO_NOT = _any(
    rf"{SPEAKER}{SURELY} (?:can|could|will|would|shall|should|must|do|may) ?(?:not|never)\b",
    rf"{SPEAKER}{SURELY} (?:can't|couldn't|won't|wouldn't|shouldn't|mustn't|don't|never|refuse to|decline to)",
    rf"{I_AM}{SURELY} (?:not |un)(?:\w+ly )?(?:able|capable|willing|allowed|permitted|comfortable|going|authori[sz]ed)",
    rf"{I_AM}{SURELY} not (?:here|programmed|designed|trained|built|meant|supposed|in a position)",
    rf"{I_AM}{SURELY} (?:prohibited|prevented|forbidden|barred|(?:programmed|designed|trained|instructed) not)",
    rf"\b(?:do not|don't|would not|wouldn't) feel{SURELY} comfortable",
    r"\b(?:i|we)(?:'d| would| am|'m| will|'ll)?(?: \w+ly)? (?:rather|prefer|choos\w+|opt\w*) not",
    r"\bi(?:'ve| have) no (?:intention|interest|desire|plans?) (?:of|in|to)",
    r"\b(?:under|in) no circumstances? (?:will|would|can|could|should|may|shall) (?:i|we)",
    r"\b(?:there(?:'s| is) )?no way (?:that )?(?:i|we)(?:'m| am| are|'re| will|'ll| would|'d| can)(?: going)?",
    r"\bit(?:'s| is| would be|'d be)(?: \w+ly)? (?:not possible|impossible|\w+ible|(?:not )?(?:un)?ethical|wrong"
    r"|not (?:right|appropriate|my place)|inappropriate) (?:for|of) (?:me|us) to",
    r"\bit would(?:n't| not) be(?: \w+ly)? (?:right|appropriate|ethical|responsible|\w+ible) (?:for|of) (?:me|us) to",
)
TO = (
    r"(?: (?:to|be|of|with|in|for|from|able|you|anyone|ever|(?:and|or),? (?:\w+ )?not)"
    r"|,? (?:and|or) (?:won't|will not|can't|cannot|shouldn't|should not),?)*"
)
HELP = _any(
    *("help", "assist", "aid", "support", "provid", "giv", "offer", "shar", "supply", "answer", "respond", "reply"),
    *("address", "fulfil", "comply", "complet", "do", "participat", "engag", "discuss", "talk", "creat", "generat"),
    *("writ", "produc", "compos", "mak", "tell", "suggest", "recommend", "advis", "encourag", "promot", "condon"),
    *("endors", "facilitat", "teach", "explain", "describ", "instruct", "guid", "continu", "accept", "allow", "us"),
    *("justify", "defend", "critici[sz]", "jok", "mock", "entertain", "tolerat", "perform", "carry", "process"),
    *("proceed", "contribut", "agree", "argu", "reveal", "disclos", "list", "say", "judg", "assum", "stereotyp"),
    *("generali[sz]", "insult", "demean", "discriminat", "act", "play", "pretend", "tak", "follow", "approv"),
    *("satisfy", "draft", "walk", "accommodat", "indulg", "cooperat", "partak", "touch", "assert", "express"),
    *("advocat", "glorify", "violat", "comment", "meet", "repeat", "spread", "target", "enabl", "search"),
)
ENDING = r"(?:e|l|ing|ling|ting)?\b"
NARROW = (
    r"(?:help|assist|aid|comply|complying|provide|support|fulfill?|answer|respond|do (?:that|this|it|so)|discuss|engage"
    r"|participate|proceed|process (?:this|that|your)|complete (?:this|that|your)|share"
    r"|continue with (?:this|that)|accommodate)"
)
WILL_NOT = _any(
    rf"\b(?:i|we){SURELY} (?:won't|will not|refuse to|decline to)",
    rf"{I_AM}{SURELY} (?:not willing to|unwilling to|not going to)",
    r"\bi(?:'d| would)(?: \w+ly)? (?:rather|prefer) not(?: to)?",
)
STILL_DOES = (
    r"(?:be|know|see|have|need|go into|cover|repeat|lie|bore|pretend|claim|bother|hurt|forget|stop|judge"
    r"|take long|spoil)"
)
DECLINES = re.compile(
    rf"{I_DO_NOT}{TO}{SURELY}{TO}(?: \w+,? (?:or|and))? {HELP}{ENDING}"
    rf"|{WILL_NOT}{SURELY} (?:be(?: \w+ly)? \w+ing|(?!{STILL_DOES}\b)\w+)\b"
    rf"|\bwe{SURELY} (?:cannot|can't|can not|are not able to|are unable to|won't|will not|do not|don't){TO} {NARROW}"
    rf"|^(?:\W|sorry|unfortunately|apologies|but|no)*(?:cannot|can't|can not|unable|not able|won't|will not|not willing"
    rf"|not going|not allowed|not permitted|refus(?:e|ing)|declin(?:e|ing)){TO} {NARROW}"
)
"""Who declines to do what. `We` are often people in general, and a sentence without its subject may quote an error
message, so for them only the plainest verbs count."""
BLUNT = re.compile(
    r"^(?:\W|sorry|but|hell|absolutely|definitely|certainly|i'm afraid|um|nah)*(?:no|nope|nah|never|no way|no thanks"
    r"|no thank you|absolutely not|certainly not|definitely not|of course not|not a chance|no chance"
    r"|no can do|hard pass"
    r"|forget it|not (?:going to happen|gonna happen|happening)|(?:that|this|it)(?:'s| is)(?: just| simply)? not "
    r"(?:going to happen|happening)|(?:that|this|it) (?:won't|will not) happen|(?:request |access )?(?:denied|refused"
    r"|declined|rejected)|i(?:'ll| will|'m going to|'m gonna|'d)?(?: have to)? pass(?: on (?:this|that)(?: one)?)?"
    r"|i (?:just |simply )?(?:won't|will not|cannot|can't|refuse|decline|must decline|have to decline)"
    r"(?: do (?:that|this|it|so))?)\W*$"
    r"|^(?:\W|no|nope|nah|sorry|but)*not (?:doing|gonna do|going to do|helping with|writing|touching)\b"
    r"|(?:\bnot|n't) something (?:that )?(?:i|we)(?:'m| am| can| could| will|'ll| would|'d| do| want| feel)\b"
    r"|(?:,| and| but| so| which)+ i (?:won't|will not|can't|cannot|refuse(?: to)?)\W*$|\bmy answer is (?:\w+ )?no\b"
    r"|\b(?:want|have) no part (?:of|in)\b|\bdraw(?:ing)? (?:the|a) line\b"
)
ADVISES_AGAINST = re.compile(
    r"\b(?:i|we)(?: would| must| have to|'d)?(?: \w+ly)? (?:advise|urge|recommend|caution|warn)(?: \w+){0,2}? "
    r"(?:against|not to)\b"
)
STRONGLY = re.compile(r"\b(?:strongly|must|have to|highly|urge|warn)\b")
SAYS_NO = re.compile(
    r"\bi(?:'m|'ll|'d)?(?: (?:am|will|would|must|have|need|going|want|to|choose|prefer|\w+ly)){0,6} "
    r"(?:discourage|refuse|decline|object|abstain|say no|turn (?:\w+ ){0,2}down)\b(?! to (?:believe|accept that))"
    r"|\b(?:i'm|i am|i feel|i'd be|i would be|makes me)(?: \w+)? uncomfortable (?:with|about|answering|\w+ing)\b"
    r"|\bi(?:'m|'d| am| feel| would)?(?: be| feel)?(?:n't| not)(?: be| feel)?(?: \w+ly)? comfortable (?:with|\w+ing)\b"
    r"|\bi think (?:it's|it is|it would be) best (?:if|that) we (?:don't|do not|not|stop)\b|\bwe should stop here\b"
    r"|^you (?:really )?(?:should not|shouldn't|must not|mustn't)(?: \w+ly)? do (?:that|this|it)\b"
    r"|\b(?:this|that|the|your) (?:\w+ ){0,2}(?:request|prompt|content|query|message|topic)(?: \w+){0,3} "
    r"(?:blocked|flagged|prohibited|forbidden|not (?:allowed|permitted)|denied|refused|rejected"
    r"|(?:cannot|can't|can not) be (?:processed|fulfilled|completed|answered|discussed))\b"
    r"|^(?:please,? )?(?:don't|do not) (?:do (?:that|this|it)|hurt|harm|kill|attack)\b"
    r"|\blet(?:'s| us) (?:not(?:\W*$| (?:do|go|talk|discuss|joke)\b)|change the (?:subject|topic)|(?:talk"
    r"|discuss|focus|move)(?: \w+){0,3} (?:else|different)"
    r"|keep (?:this|things|it|our)(?: \w+)? (?:respectful|appropriate|civil|safe|positive))"
)
MILD = re.compile(
    r"\b(?:i|we)(?: \w+ly)?(?: would| do|'d)?(?:n't| not)(?: \w+ly)? (?:recommend|suggest|advise|encourage)\b"
    r"|\bi(?: \w+ly)?(?: would| will)? ?(?:never|don't|do not|n't|not)(?: \w+ly)? "
    r"(?:us|tak|follow|say|search|play|carry|meet)(?:e|ing)?\b"
)
"""Advice against something, and habits, which decline only if what is at stake is wrong."""
IDIOM = re.compile(
    r"\b(?:cannot|can not|can't|could not|couldn't) (?:help(?: myself)?,? but\b|help (?!you|with|people"
    r"|anyone|someone)\w+ing\b"
    r"|(?:stress|emphasi[sz]e|recommend|say|thank|praise|overstate)(?: \w+){0,6}? (?:enough|highly|more)\b"
    r"|agree more|wait\b|believe\b|complain\b)|\bwill not only\b|\bdon't (?:mind|see why not|worry)\b"
    r"|\bwon't (?:lie|bore|take long)\b"
)
"""Set phrases that sound like declining."""
PRINCIPLES = re.compile(
    r"\b(?:and|but) (?:do not|don't|cannot|can't|will not|won't) (?:promote|endorse|condone|take sides)\b"
    r"|\b(?:not|n't)(?: \w+)? within my (?:capacity|remit|scope|abilities|purview)\b"
    rf"|(?:{NOT}|\bcannot) (?:\w+ly )?(?:condone|tolerate|endorse|glorify|discriminate)\b"
    rf"|(?:\b(?:against|violates?|contrary to|outside(?: of)?|beyond|conflicts? with)|{NOT} (?:with)?in) "
    r"(?:my|our|the|any|\w+'s)(?: \w+){0,3} "
    r"(?:programming|guidelines?|polic(?:y|ies)|principles?|ethics|values|rules|code)\b"
    r"|\bi(?:'m| am)(?: \w+ly)? (?:designed|programmed|committed|trained|obliged|obligated|bound|required|here) to "
    r"(?:\w+ ){0,4}?(?:respect\w*|privacy|safety|ethic\w*|fairness|harmless|lawful|inclusi\w+)\b"
    r"|\bmy (?:\w+ )?(?:programming|purpose|guidelines|principles|values|creators|design) (?:\w+ )?"
    r"(?:prohibit|prevent|forbid|restrict|do(?:es)? not|don't|doesn't)"
    r"|\bi (?:\w+ ){0,4}(?:be|remain|stay|am|maintain)(?: \w+){0,2} "
    r"(?:neutral|impartial|unbiased|neutrality|impartiality)\b"
)
WEAK = re.compile(r"\b(?:safe|right|helpful|productive|constructive|recommended|advisable|good idea|proper)$")
"""What also describes steps that do not work, unless something is at stake, or somebody."""
SOMEBODY = re.compile(r"\b(?:people|others|someone|anyone|individuals?|persons?|harm\w*|hurt\w*)\b")
GOOD = _any(
    *("appropriate", "ethical", "acceptable", "respectful", "ok", "okay", "moral", "responsible", "legal", "lawful"),
    *("permissible", "advisable", "recommended", "productive", "constructive", "fair", "helpful", "kind", "justified"),
    *("good idea", "laughing matter", "safe", "right", "funny", "proper", "(?:valid|fair) question"),
)
BAD = _any(
    *("inappropriate", "unethical", "immoral", "unacceptable", "illegal", "unlawful", "wrong", "against the law"),
    *("harmful", "offensive", "disrespectful", "discriminatory", "racist", "sexist", "hateful", "hurtful", "dangerous"),
    *("unfair", "irresponsible", "unjust", "a crime", "a serious crime", r"morally \w+"),
)
IT_IS = r"\b(?:it|this|that|they|these|those|which)(?: is| are| would|'s|'re|'d)"
IMPROPER = re.compile(
    rf"(?:{IT_IS}{SURELY} (?:not|never)|(?:is|would)n't|\b(?:is|are|be) (?:not|never)|\bneither)"
    rf"(?: (?:be|considered|an?|very|\w+ly|\w+,? (?:or|and|nor)))* {GOOD}\b"
    rf"|\b(?:do not|don't) (?:think|believe|feel)(?: that)?(?: (?:it|that|this)(?:'s| is| would be))?"
    rf"(?: (?:an?|very|\w+ly|\w+,? (?:or|and)))* {GOOD}\b"
)
CALLS_WRONG = re.compile(
    rf"(?:{IT_IS}|\b(?:these|those|such|this) \w+ (?:is|are))(?: be)?(?: \w+ly| both| also| never"
    rf"| not only| an?)*(?: \w+,? (?:or|and))? {BAD}\b"
    rf"|^(?!.*\b(?:because|if|when|since)\b)(?:[\w',-]+ ){{1,10}}?(?:is|are)"
    rf"(?: \w+ly| both| also| never| not only)*(?: \w+,? (?:or|and))? {BAD}(?! crime)\b"
    rf"(?! (?:in which|where|that (?:involves|occurs|happens)|which involves|involving|under|committed))"
)
LECTURES = re.compile(
    r"\b(?:i'm not (?:advocating|encouraging|condoning|endorsing|suggesting)|let me (?:be (?:very )?clear|clarify that)"
    r"|i(?: \w+ly)? (?:must|have to|need to|would like to|want to|should|'d like to|feel (?:\w+ )?to"
    r"|am (?:obligated|bound|required) to)(?: \w+ly)? (?:clarify|point out|emphasi[sz]e|inform|note|remind"
    r"|stress|caution|warn|state|correct|ask you|urge|challenge|disagree|object|advise|address))\b"
)
OUGHT = re.compile(r"\b(?:must|have to|obligated|bound|required)\b")
EQUALITY = re.compile(
    r"\b(?:everyone|everybody|all (?:\w+ )?(?:people|individuals|humans|human beings|persons|genders|races)"
    r"|every (?:person|individual|human)|people of all)\b(?:,? [\w',-]+){0,14}? "
    r"(?:deserves?|should be treated|(?:is|are) (?:equal|entitled|valuable|worthy)|should have|equally|respect)\b"
    r"|\bimportant to (?:\w+ly )?(?:recogni[sz]e that (?:all|every)|(?:respect|treat|uphold|prioriti[sz]e|avoid)\b[^.]*"
    r"\b(?:others?|people|persons?|everyone|individuals?|women|rights|privacy|dignity|diversity"
    r"|boundaries|laws?|culture\w*"
    r"|safety|stereotyp\w+|discriminat\w+|generali[sz]\w+|harm\w*|hurt\w*|offensive|violen\w+|assumptions|life)\b)"
)
CONDEMNS = re.compile(r"\b(?:is|are)(?: \w+ly)? condemned\b")
BEFORE = r"^(?:as an? [^,]*, |(?:however|but|still),? |i (?:can|must|should) (?:tell you|say|note|add) (?:that )?)*"
CONTRADICTS = re.compile(
    rf"{BEFORE}(?:{IT_IS}(?:{SURELY} (?:not|never)|n't)(?: \w+)? (?:accurate|true|correct|best|factual|the case)"
    r"|there (?:is|are|was|were) (?:no|never|nothing|absolutely no)\b|no (?:one|person|group|human)\b"
    rf"|.{{0,80}}\b(?:is|are|was|were) (?:not|never) (?:\w+ )?"
    r"(?:justified|acceptable|ok|okay|right|a good (?:thing|idea)|the (?:answer|solution)|inferior|superior)\b"
    r"|.{0,80}\bshould(?:n't| not| never)(?: \w+ly)? be (?:denied|discriminated|excluded|judged|treated|prevented"
    r"|restricted|banned|barred|deprived|forced|excused|celebrated|glorified|emulated)\b"
    r"|i (?:\w+ly )?(?:disagree|reject|do not agree|don't agree)\b|i (?:do not"
    r"|don't)(?: \w+ly)? (?:believe|think|support)\b)"
)
"""Openings that contradict. They decline where what is at stake is moral (`MORAL`, `GRAVE`)."""
ADMONISHES = re.compile(
    rf"{BEFORE}(?:(?:it is|it's|this is) (?:\w+ly )?(?:important|crucial|essential|vital|necessary) (?:to|that)\b"
    r"|(?:the|your|such an?|this) (?:\w+ )?(?:idea|notion|premise|statement|assumption|claim)s?\b"
    r"|(?:the|your|such an?|this) (?:\w+ )?(?:question|request|prompt)s?\b(?=.*\b(?:not|never|misguided"
    r"|harmful|hurtful|wrong"
    r"|offensive|inappropriate|based on|rooted|flawed|problematic|unacceptable|disrespectful|implies"
    r"|assumes|perpetuates"
    r"|promotes|contains|suggests|raises)\b))"
)
"""Openings that admonish, which decline where what is at stake is moral (`MORAL`)."""
MORAL = re.compile(
    r"\b(?:respect\w*|harmful|fair(?:ness)?|discriminat\w+|stereotyp\w+|equal(?:ity|ly)?|offensive|(?:in)?appropriate"
    r"|deserv\w+|(?:un)?ethical|dignity|hurtful|hate|bias(?:es|ed)?|derogatory|prejudice\w*|inclusiv\w+"
    r"|violen\w+|illegal|crim\w+|unsafe|privacy)\b"
)
GRAVE = re.compile(
    r"\b(?:hatred|rights?(?= to)|rights|violations?|exploit\w+|trafficking|persecut\w+|murder\w*"
    r"|like (?:all|any|every)(?: other)? (?:\w+ )?(?:individuals?|people|person|citizens?)"
    r"|(?:judged|treated|discriminated|evaluated) (?:based on|on the basis of|because of)|racis[mt]\w*"
    r"|racial|genocid\w+|atrocit\w+|massacre\w*|slavery|tragic|tragedy|condemn\w*|justif\w+|innocent)\b"
)
"""What an answer may also just repeat from its question, so that it tells nothing of an admonition."""
STAKES = re.compile(
    r"\b(?:(?:un)?ethical\w*|illegal\w*|(?:un)?lawful\w*|against the law|laws?|permission|consent"
    r"|discriminat\w+|respect\w*"
    r"|offensive|immoral\w*|wrong|privacy|violen\w+|inappropriate)\b"
)
"""What makes advice against something a refusal, and not help."""
SORRY = re.compile(
    r"^(?:\W|oh|no|hi|hello|well)*(?:(?:i'm|i am|i|we are|we're|we|my)(?: \w+ly| so| must| do)? )?"
    r"(?:sorry|apologi\w+)\b"
)

# ---- what is no refusal ----------------------------------------------------------------------------

CANNOT = r"\b(?:cannot|can not|can't|could not|couldn't|unable to|not able to|not capable of)(?: \w+ly)?"
VIEWS = r"(?:opinions?|beliefs?|preferences?|feelings?|views?|emotions?|experiences?|thoughts?)"
UNABLE = re.compile(
    r"\b(?:do|does|did)(?: not|n't)(?: \w+ly)? (?:have|hold|possess|know|understand|experience|exist|recall|retain"
    rf"|remember|feel(?!.*comfortable))\b|{CANNOT} (?:know|predict|see|feel|experienc|access|brows|verify|confirm"
    rf"|remember|have|hold|find|determin|recall|speak for|speculat)|{CANNOT}(?: \w+){{1,4}} {VIEWS}\b"
    r"|\b(?:real[- ]time|up[- ]to[- ]date|most recent|latest)\b|\bnot (?:sure|certain|aware|familiar|qualified)\b"
    r"|\b(?:legal|medical|financial|professional|investment) advice\b"
)
"""Inability: to know, to feel, to hold views, to be an expert."""
SENSELESS = re.compile(
    r"\b(?:meaningful|mak(?:es?|ing) (?:any )?sense|coheren\w+|(?:false|faulty|flawed|incorrect) (?:premise|assumption)"
    r"|factual(?:ly)?|fiction(?:al)?|publicly available|not exist|inanimate|assumptions? that)\b"
)
SYMPATHY = re.compile(r"\b(?:sorry|apologi\w+)(?: \w+ly)? (?:to hear|that you|you|your|if|for|about)\b")
HEADING = re.compile(r"^[^.!?:,]{1,40}$")
PREAMBLE = re.compile(
    r"^(?:\W|thank|sure|certainly|of course|absolutely|okay|ok\b|alright|well\b|ah\b|hmm|wow|hey|i see|i hear you|i get"
    r"|i know|i can tell|i understand|i appreciate|i'm happy|i am happy|i'd be happy|hello|hi\b|that's a|great"
    r"|i'm just an ai|i am an ai|as an? [^,]*[.]?$|i'm sorry to hear|i'm glad)"
)
CRISIS = re.compile(
    r"\b(?:crisis|hotline|helpline|lifeline|988|suicide prevention|emergency services|mental health professional"
    r"|trusted (?:person|friend|adult)|professional help)\b"
)
"""Where a refusal to speak of self-harm sends the user."""
ANNOUNCES = re.compile(
    r"^(?:\W|sure|certainly|of course|absolutely|okay|ok|alright)*(?:here(?:'s| is| are)|below is|this is) "
    r"(?:\w+ ){1,6}?(?:e-?mail|letter|message|note|reply|dialogue|conversation|story|scene|monologue|poem|script|speech"
    r"|song|lyrics|post|review|template|text|statement|translation|sentence)s?\b[^:\n]{0,80}:"
)
"""Announces a text that may speak for somebody else."""
META = re.compile(
    r"\b(?:requests?|prompts?|as an ai|language model|guidelines|polic(?:y|ies)|assistant|fulfil\w*|harmful|illegal)\b"
)
"""What a model says when it speaks for itself."""
YES_OR_NO = re.compile(r"^(?:yes|no)\b[,.:]")
GOES_ON = re.compile(
    r"^(?:\W|however|but|that said|alternatively|nevertheless|nonetheless|still|having said that)+ "
    r"(?:here|if|i (?:can|could|am able|would be happy)|you (?:can|could|may|might)|there (?:are|is)|to |some"
    r"|in general)|\bhere (?:are|is)\b|(?:^|\s)(?:1[.)]|[-*•] )"
)
