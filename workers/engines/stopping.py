"""Stop strings in a stream of text pieces. Pure."""


class StopStrings:
    """Passes text on until one of `stops` appears, across piece borders, and holds back what may be its beginning.

    `feed` returns the text that is safe to send and whether a stop string was met (it and what follows are dropped).
    When two stop strings appear in one piece the one that begins first counts. `own` are the chat model's, which end a
    reply as well; `met` is the one of the request's that did.
    """

    def __init__(self, stops: tuple[str, ...], own: tuple[str, ...] = ()):
        self._stops = tuple(stop for stop in (*stops, *own) if stop)
        self._asked = frozenset(stops)
        self.met = ""
        self._longest = max(map(len, self._stops), default=0)
        self._held = ""

    def feed(self, piece: str) -> tuple[str, bool]:
        if not self._stops:
            return piece, False
        text = self._held + piece
        places = [(place, stop) for stop in self._stops if (place := text.find(stop)) >= 0]
        if places:
            self._held = ""
            # The longer one of two that begin at the same place: it says more.
            place, stop = min(places, key=lambda found: (found[0], -len(found[1])))
            self.met = stop if stop in self._asked else ""
            return text[:place], True
        hold = self._possible_beginning(text)
        self._held = text[len(text) - hold :]
        return text[: len(text) - hold], False

    def rest(self) -> str:
        """What was held back, once it is known that nothing follows."""
        held, self._held = self._held, ""
        return held

    def _possible_beginning(self, text: str) -> int:
        """Length of the longest end of `text` that a stop string starts with."""
        for length in range(min(self._longest - 1, len(text)), 0, -1):
            if any(stop.startswith(text[-length:]) for stop in self._stops):
                return length
        return 0
