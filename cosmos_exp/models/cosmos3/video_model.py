"""Cosmos3-Nano-Transfer-Auto as a video model: all views of a chunk in one job, chunks one after the other.

A chunk after the first is given the last frames of the one before, of every view. Each chunk is a result of its own in
the stage cache, so a run that was interrupted goes on with the chunk that it was at.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import numpy as np

from cosmos_exp.common.cache import Entry
from cosmos_exp.common.stored_arrays import load_arrays
from cosmos_exp.models.base import GeneratedVideos, GenerationRequest, ResultStore, StoredVideo
from cosmos_exp.models.cosmos3.spec import Cosmos3Spec
from cosmos_exp.models.cosmos3.style_call import StyleCall
from cosmos_exp.models.remote.waiting import in_flight
from cosmos_exp.sampling.chunks import join


class Cosmos3Model(Cosmos3Spec):
    def generate(self, request: GenerationRequest, store: ResultStore) -> Iterator[GeneratedVideos]:
        """All styles are asked for at once, `model.in_flight` of them at a time."""
        self.check_request(request)
        calls = {style: StyleCall(self, request, style, store) for style in request.prompts}
        with closing(in_flight(calls, self.own.in_flight, store)) as done:
            for style, entries in done:
                yield self._generated(style, entries)

    def _generated(self, style: str, entries: tuple[Entry, ...]) -> GeneratedVideos:
        overlap, frames = self.video.overlap, self.video.shape.frames

        def stored(view: str) -> StoredVideo:
            def read() -> np.ndarray:
                return join([load_arrays(entry)[view] for entry in entries], overlap, frames)

            return StoredVideo(entries, read)

        return GeneratedVideos(style, stored(self.front.view), {view: stored(view) for view in self.views})
