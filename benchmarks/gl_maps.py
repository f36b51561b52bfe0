"""World Scenario maps drawn by OpenGL, the same triangles and lines as with --reference-compat; needs moderngl and EGL.

The map's vertices stay on the GPU; the vertex shader projects them, a geometry shader gives lines their width. Per
picture, corners of boxes and lights are uploaded and the picture is read back, one picture late, so that copying and
drawing overlap.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from cosmos_exp.common.errors import UserError
from cosmos_exp.rendering.wsm import colors
from cosmos_exp.rendering.wsm.drawing import BOX, BOX_EDGES, EDGE_COLOR, FRONT, LIGHT, WorldScenario, _View
from cosmos_exp.rendering.wsm.videos import WsmRenderer

PROJECTION = """
#version 330
uniform mat3 rotation;
uniform vec3 translation;
uniform float lens[14];
vec3 project(vec3 point) {
    vec3 p = rotation * point + translation;
    float across = length(p.xy), angle = atan(across, p.z), radius;
    if (angle <= lens[6]) {
        radius = lens[5];
        for (int i = 4; i >= 0; i--) radius = radius * angle + lens[i];
    } else radius = lens[7] + (angle - lens[6]) * lens[8];
    float s = across > 0.0 ? radius / across : 0.0;
    return vec3(lens[11] * p.x * s + lens[12] * p.y * s + lens[9], lens[13] * p.x * s + p.y * s + lens[10], p.z);
}
"""
PLACE = """
uniform vec2 size;
float fade(float z) { return clamp(1.0 - z / 200.0, 0.0, 1.0); }
vec4 placed(vec2 pixel, float z) {
    return vec4(2.0 * pixel.x / size.x - 1.0, 1.0 - 2.0 * pixel.y / size.y, z / 100.0 - 1.0, 1.0);
}
"""
TRIANGLE = (
    PROJECTION
    + PLACE
    + """
in vec3 point;
in vec3 tint;
out vec3 shown;
void main() {
    vec3 p = project(point);
    gl_Position = placed(p.xy, p.z);
    shown = tint * fade(p.z) / 255.0;
}
"""
)
LINE_ENDS = (
    PROJECTION
    + """
in vec3 point;
in vec3 tint;
in float width;
out vec3 end;
out vec3 color;
out float stroke;
void main() { end = project(point); color = tint; stroke = width; }
"""
)
LINE_BODY = (
    "#version 330\n"
    + PLACE
    + """
layout(lines) in;
layout(triangle_strip, max_vertices = 18) out;
in vec3 end[];
in vec3 color[];
in float stroke[];
out vec3 shown;
void corner(vec3 p, vec2 offset, vec3 tint) {
    gl_Position = placed(p.xy + offset, p.z);
    shown = tint;
    EmitVertex();
}
void main() {
    vec3 a = end[0], b = end[1];
    if ((a.z < 0.0 && b.z < 0.0) || (a.z > 200.0 && b.z > 200.0)) return;
    float ratio = size.x / size.y;
    vec2 way = vec2(b.x - a.x, (b.y - a.y) * ratio);
    float far = length(way), half_width = 0.5 * stroke[0] * fade(0.5 * (a.z + b.z));
    if (!(far > 0.0) || half_width == 0.0) return;
    vec2 e = way / far, m = vec2(-e.y, e.x);
    vec3 at_a = color[0] * fade(a.z) / 255.0, at_b = color[0] * fade(b.z) / 255.0;
    for (int i = 4; i >= 0; i--) {  // from the tip of the disc at b to its ends
        float t = 3.14159265358979 * float(i) / 8.0;
        vec2 left = half_width * (cos(t) * m + sin(t) * e), right = half_width * (-cos(t) * m + sin(t) * e);
        corner(b, vec2(left.x, left.y / ratio), at_b);
        if (i < 4) corner(b, vec2(right.x, right.y / ratio), at_b);
    }
    for (int i = 0; i <= 4; i++) {
        float t = 3.14159265358979 * float(i) / 8.0;
        vec2 left = half_width * (cos(t) * m - sin(t) * e), right = half_width * (-cos(t) * m - sin(t) * e);
        corner(a, vec2(left.x, left.y / ratio), at_a);
        if (i < 4) corner(a, vec2(right.x, right.y / ratio), at_a);
    }
    EndPrimitive();
}
"""
)
FRAGMENT = """
#version 330
in vec3 shown;
out vec4 pixel;
void main() { pixel = vec4(clamp(shown, 0.0, 1.0), 1.0); }
"""


class GlMaps:
    """The pictures of one renderer, of a size. It must be one with `reference_compat`."""

    def __init__(self, renderer: WsmRenderer):
        try:
            import moderngl
        except ImportError:
            raise UserError("OpenGL: there is no moderngl; pip install moderngl") from None
        try:
            self.gl = moderngl.create_context(standalone=True, backend="egl", libgl="libGL.so.1", libegl="libEGL.so.1")
        except Exception as error:  # of the driver: any
            raise UserError(f"OpenGL: no context by EGL: {error}") from None
        self.renderer, (width, height) = renderer, renderer.size
        gl, scenario = self.gl, renderer.scenario
        gl.enable(moderngl.DEPTH_TEST)
        self.lines = gl.program(vertex_shader=LINE_ENDS, geometry_shader=LINE_BODY, fragment_shader=FRAGMENT)
        self.triangles = gl.program(vertex_shader=TRIANGLE, fragment_shader=FRAGMENT)
        for program in (self.lines, self.triangles):
            program["size"] = float(width), float(height)
        size, samples = renderer.size, renderer.samples
        self.drawn = gl.framebuffer(
            gl.renderbuffer(size, 4, samples=samples), gl.depth_renderbuffer(size, samples=samples)
        )
        self.resolved = gl.framebuffer(gl.renderbuffer(size, 4))
        self.out = [gl.buffer(reserve=4 * width * height) for _ in range(2)]
        vertices, ends = line_vertices(scenario)
        self.map_lines = self._vertices(self.lines, vertices, ends, moderngl.LINES)
        corners = np.concatenate([scenario._triangles, scenario._colors], axis=2).reshape(-1, 6)
        self.map_areas = self._vertices(self.triangles, corners, None, moderngl.TRIANGLES) if len(corners) else None
        self.modes = moderngl.TRIANGLES, moderngl.LINES

    @property
    def device(self) -> str:
        return self.gl.info["GL_RENDERER"]

    def images(self, jobs: list[tuple[str, int]]) -> Iterator[np.ndarray]:
        """uint8 [H,W,3] of (camera, frame)s, valid until the next one."""
        width, height = self.renderer.size
        source = self.renderer.source
        frames = sorted({frame for _, frame in jobs})
        cameras = {camera: source.model(camera, self.renderer.size) for camera, _ in jobs}
        poses = {camera: source.poses(camera, frames) for camera in cameras}
        memory, out = np.empty((height, width, 4), np.uint8), np.empty((height, width, 3), np.uint8)

        def read(number: int) -> np.ndarray:
            self.out[number % 2].read_into(memory)
            out[:] = memory[::-1, :, :3]
            return out

        for number, (camera, frame) in enumerate(jobs):
            self._draw(_View.of(cameras[camera], poses[camera][frame]), frame)
            self.gl.copy_framebuffer(self.resolved, self.drawn)
            self.resolved.read_into(self.out[number % 2], components=4)
            if number:
                yield read(number - 1)
        yield read(len(jobs) - 1)

    def _draw(self, view: _View, frame: int) -> None:
        for program in (self.lines, self.triangles):
            program["rotation"].write(view.rotation.T.astype(np.float32).tobytes())
            program["translation"] = tuple(view.translation)
            program["lens"] = [float(value) for value in view.lens]
        self.drawn.use()
        self.drawn.clear(depth=1.0)
        self.map_lines.render()
        if self.map_areas is not None:
            self.map_areas.render()
        areas, edges = self._moving(view, frame)
        triangles, lines = self.modes
        for program, vertices, mode in ((self.triangles, areas, triangles), (self.lines, edges, lines)):
            if len(vertices):
                array = self._vertices(program, vertices, None, mode)
                array.render()
                array.release()

    def _moving(self, view: _View, frame: int) -> tuple[np.ndarray, np.ndarray]:
        """Vertices of lights and of boxes' faces [N,6], and of boxes' edges [N,7]."""
        areas, edges = [np.zeros((0, 6))], [np.zeros((0, 7))]
        for corners, state in self.renderer.scenario._lights:
            if view.depths(corners).max() >= 0:
                points = corners[LIGHT].reshape(-1, 3)
                areas.append(np.hstack([points, np.tile(colors.light_color(state(frame)), (len(points), 1))]))
        for box in sorted(self.renderer.source.boxes(frame), key=lambda box: box.track_id):
            if view.inside(view.project(box.corners)).any():
                front, rear = colors.BOXES[box.color_class]
                tint = np.where(FRONT[:, None], front, rear)
                areas.append(np.hstack([box.corners, tint])[BOX.ravel()])
                ends = box.corners[BOX_EDGES.ravel()]
                edges.append(np.hstack([ends, np.tile([*EDGE_COLOR, colors.BOX_EDGE_WIDTH], (len(ends), 1))]))
        return np.concatenate(areas), np.concatenate(edges)

    def _vertices(self, program: Any, vertices: np.ndarray, ends: np.ndarray | None, mode: int) -> Any:
        buffer = self.gl.buffer(vertices.astype(np.float32).tobytes())
        index = None if ends is None else self.gl.buffer(ends.astype(np.uint32).tobytes())
        layout = ("3f 3f 1f", "point", "tint", "width") if vertices.shape[1] == 7 else ("3f 3f", "point", "tint")
        return self.gl.vertex_array(program, [(buffer, *layout)], index, mode=mode)


def line_vertices(scenario: WorldScenario) -> tuple[np.ndarray, np.ndarray]:
    """[N,7]: points of the map's lines, colours, widths; and the numbers of both ends of each part."""
    strips = scenario._strips
    chunk = np.repeat(np.arange(len(strips.colors)), np.diff(strips.starts))
    vertices = np.hstack([strips.points, strips.colors[chunk], strips.widths[chunk, None]])
    first = np.flatnonzero(strips.joined)
    return vertices, np.stack([first, first + 1], axis=1)
