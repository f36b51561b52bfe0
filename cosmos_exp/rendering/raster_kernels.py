"""Kernels of the z-buffer rasteriser: the visible triangle of each sample, and its distance along the sample's ray.

Homogeneous rasterisation (Olano and Greer, 1997): a triangle with camera-frame vertices a, b, c is hit by the ray d
where d . (b x c), d . (c x a) and d . (a x b) have the sign of a . (b x c), and the inverse distance along d is
d . n / (n . a) with n the normal. Nothing is clipped or subdivided, and neighbours share their edges' exact numbers,
so meshes have no cracks. For a pinhole all these are affine in the pixel and a row's span is solved directly; for
f-theta they are evaluated on a table of rays, which makes curved edges exact: only the bounding box is a conservative
estimate from projected points along the edges.

Each kernel writes `inverse` [H,W] float32 (1 / ray parameter, 0 where nothing is hit) and `ids` [H,W] int32.
The kernels hold no lock, so frames can be drawn in parallel threads; the result never depends on the thread count.
"""

from __future__ import annotations

import numpy as np

from cosmos_exp.rendering.compiled import kernel, part

NEAR = 0.05


@kernel(seconds=1.2)
def draw_pinhole(
    triangles, two_sided, chunks, spheres, rotation, translation, intrinsics, near, far, first_id, inverse, ids
):
    """triangles: [N,3,3] float32 in the world; rotation, translation: world to camera; intrinsics: fx, fy, cx, cy.

    chunks: [C+1] starts of runs of triangles inside spheres [C,4] (centre, radius); a run out of sight is skipped.
    """
    height, width = inverse.shape
    fx, fy, cx, cy = intrinsics
    a, b, c = np.empty(3), np.empty(3), np.empty(3)
    box = np.empty(4)
    for k in range(len(chunks) - 1):
        if not _sphere_in_view(spheres[k], rotation, translation, fx, fy, cx, cy, width, height, near, far):
            continue
        for i in range(chunks[k], chunks[k + 1]):
            _to_camera(triangles[i, 0], rotation, translation, a)
            _to_camera(triangles[i, 1], rotation, translation, b)
            _to_camera(triangles[i, 2], rotation, translation, c)
            if not _pinhole_box(a, b, c, fx, fy, cx, cy, near, width, height, box):
                continue
            _fill_pinhole(a, b, c, two_sided[i], fx, fy, cx, cy, near, box, first_id + i, inverse, ids)


@part()
def _sphere_in_view(sphere, rotation, translation, fx, fy, cx, cy, width, height, near, far):
    x = rotation[0, 0] * sphere[0] + rotation[0, 1] * sphere[1] + rotation[0, 2] * sphere[2] + translation[0]
    y = rotation[1, 0] * sphere[0] + rotation[1, 1] * sphere[1] + rotation[1, 2] * sphere[2] + translation[1]
    z = rotation[2, 0] * sphere[0] + rotation[2, 1] * sphere[1] + rotation[2, 2] * sphere[2] + translation[2]
    r = sphere[3]
    if z + r < near or z - r > far:
        return False
    left, right = -cx, width - 1 - cx
    top, bottom = -cy, height - 1 - cy
    return (
        fx * x - left * z > -r * np.hypot(fx, left)
        and right * z - fx * x > -r * np.hypot(fx, right)
        and fy * y - top * z > -r * np.hypot(fy, top)
        and bottom * z - fy * y > -r * np.hypot(fy, bottom)
    )


@part()
def _to_camera(point, rotation, translation, out):
    x, y, z = point[0], point[1], point[2]
    for j in range(3):
        out[j] = rotation[j, 0] * x + rotation[j, 1] * y + rotation[j, 2] * z + translation[j]


@part()
def _pinhole_box(a, b, c, fx, fy, cx, cy, near, width, height, box):
    """Sample bounds (x0, x1, y0, y1) of the part beyond the near plane; False where it covers no sample."""
    if a[2] < near and b[2] < near and c[2] < near:
        return False
    x0, x1, y0, y1 = 1e30, -1e30, 1e30, -1e30
    p, q = a, b
    for edge in range(3):
        if edge == 1:
            p, q = b, c
        elif edge == 2:
            p, q = c, a
        if p[2] >= near:
            u, v = fx * p[0] / p[2] + cx, fy * p[1] / p[2] + cy
            x0, x1, y0, y1 = min(x0, u), max(x1, u), min(y0, v), max(y1, v)
        if (p[2] >= near) != (q[2] >= near):
            s = (near - p[2]) / (q[2] - p[2])
            u = fx * (p[0] + s * (q[0] - p[0])) / near + cx
            v = fy * (p[1] + s * (q[1] - p[1])) / near + cy
            x0, x1, y0, y1 = min(x0, u), max(x1, u), min(y0, v), max(y1, v)
    margin = 1e-6
    box[0], box[1] = max(np.ceil(x0 - margin), 0.0), min(np.floor(x1 + margin), width - 1.0)
    box[2], box[3] = max(np.ceil(y0 - margin), 0.0), min(np.floor(y1 + margin), height - 1.0)
    return box[0] <= box[1] and box[2] <= box[3]


@part()
def _fill_pinhole(a, b, c, two_sided, fx, fy, cx, cy, near, box, number, inverse, ids):
    e0x, e0y, e0z = b[1] * c[2] - b[2] * c[1], b[2] * c[0] - b[0] * c[2], b[0] * c[1] - b[1] * c[0]
    e1x, e1y, e1z = c[1] * a[2] - c[2] * a[1], c[2] * a[0] - c[0] * a[2], c[0] * a[1] - c[1] * a[0]
    e2x, e2y, e2z = a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]
    det = a[0] * e0x + a[1] * e0y + a[2] * e0z
    if det == 0.0 or (det > 0.0 and not two_sided):
        return
    s = 1.0 if det > 0.0 else -1.0
    A0, B0 = s * e0x / fx, s * e0y / fy
    A1, B1 = s * e1x / fx, s * e1y / fy
    A2, B2 = s * e2x / fx, s * e2y / fy
    C0, C1, C2 = s * e0z - A0 * cx - B0 * cy, s * e1z - A1 * cx - B1 * cy, s * e2z - A2 * cx - B2 * cy
    wA, wB = (e0x + e1x + e2x) / (det * fx), (e0y + e1y + e2y) / (det * fy)
    wC = (e0z + e1z + e2z) / det - wA * cx - wB * cy
    I0 = 1.0 / A0 if A0 != 0.0 else 0.0
    I1 = 1.0 / A1 if A1 != 0.0 else 0.0
    I2 = 1.0 / A2 if A2 != 0.0 else 0.0
    slope = np.float32(wA)
    limit = np.float32(1.0 / near)
    for y in range(int(box[2]), int(box[3]) + 1):
        lo, hi = box[0], box[1]
        lo, hi = _cut(A0, B0 * y + C0, I0, lo, hi)
        lo, hi = _cut(A1, B1 * y + C1, I1, lo, hi)
        lo, hi = _cut(A2, B2 * y + C2, I2, lo, hi)
        if lo > hi:
            continue
        x0 = int(lo)
        count = int(hi) - x0 + 1
        start = np.float32(wA * x0 + wB * y + wC)
        depths = inverse[y, x0 : x0 + count]
        numbers = ids[y, x0 : x0 + count]
        for x in range(count):
            w = start + slope * np.float32(x)
            if w > depths[x] and w <= limit:
                depths[x] = w
                numbers[x] = number


@part()
def _cut(A, value, inverse_A, lo, hi):
    """The part of [lo, hi] where A x + value >= 0."""
    if A > 0.0:
        x = -value * inverse_A
        if x > lo:
            lo = np.ceil(x)
    elif A < 0.0:
        x = -value * inverse_A
        if x < hi:
            hi = np.floor(x)
    elif value < 0.0:
        hi = lo - 1.0
    return lo, hi


@kernel()
def draw_ftheta(triangles, two_sided, chunks, spheres, rotation, translation, rays, lens, far, first_id, inverse, ids):
    """As draw_pinhole. rays: [3,H,W] float32 unit directions of the samples.

    lens: [14] = fw poly p0..p5, maximum angle, radius and slope there, centre (cx, cy), linear (c, d, e).
    """
    height, width = inverse.shape
    a, b, c = np.empty(3), np.empty(3), np.empty(3)
    box = np.empty(4)
    for k in range(len(chunks) - 1):
        if not _sphere_in_lens(spheres[k], rotation, translation, lens, width, height, far):
            continue
        for i in range(chunks[k], chunks[k + 1]):
            _to_camera(triangles[i, 0], rotation, translation, a)
            _to_camera(triangles[i, 1], rotation, translation, b)
            _to_camera(triangles[i, 2], rotation, translation, c)
            if _ftheta_box(a, b, c, lens, width, height, box):
                _fill_rays(a, b, c, two_sided[i], rays, box, first_id + i, inverse, ids)


@part()
def _sphere_in_lens(sphere, rotation, translation, lens, width, height, far):
    """Whether the cone around the sphere comes within the largest angle of the lens."""
    x = rotation[0, 0] * sphere[0] + rotation[0, 1] * sphere[1] + rotation[0, 2] * sphere[2] + translation[0]
    y = rotation[1, 0] * sphere[0] + rotation[1, 1] * sphere[1] + rotation[1, 2] * sphere[2] + translation[1]
    z = rotation[2, 0] * sphere[0] + rotation[2, 1] * sphere[1] + rotation[2, 2] * sphere[2] + translation[2]
    distance = np.sqrt(x * x + y * y + z * z)
    r = sphere[3]
    if distance <= r:
        return True
    if distance - r > far:
        return False
    return np.arccos(z / distance) - np.arcsin(r / distance) <= lens[6]


@part()
def _angle_between(p, q):
    cx, cy, cz = p[1] * q[2] - p[2] * q[1], p[2] * q[0] - p[0] * q[2], p[0] * q[1] - p[1] * q[0]
    return np.arctan2(np.sqrt(cx * cx + cy * cy + cz * cz), p[0] * q[0] + p[1] * q[1] + p[2] * q[2])


@part()
def ftheta_pixel(x, y, z, lens):
    """Pixel of a point in the camera frame. lens: as of `draw_ftheta`."""
    across = np.hypot(x, y)
    angle = np.arctan2(across, z)
    if angle <= lens[6]:
        radius = lens[5]
        for i in range(4, -1, -1):
            radius = radius * angle + lens[i]
    else:
        radius = lens[7] + (angle - lens[6]) * lens[8]
    s = radius / across if across > 0.0 else 0.0
    return lens[11] * x * s + lens[12] * y * s + lens[9], lens[13] * x * s + y * s + lens[10]


@part()
def _ftheta_box(a, b, c, lens, width, height, box):
    """Sample bounds from points at most 0.1 rad apart along the edges.

    An f-theta image of a straight edge has a curvature of at most 0.65 / f, so between such points it leaves the
    chord by less than f 0.25 step^2, stretched chords included; that is the margin.
    """
    focal = max(lens[1], lens[8]) * (1.0 + abs(lens[11] - 1.0) + abs(lens[12]) + abs(lens[13]))
    x0, x1, y0, y1, widest = 1e30, -1e30, 1e30, -1e30, 0.0
    total, nearest = 0.0, np.pi
    p, q = a, b
    for edge in range(3):
        if edge == 1:
            p, q = b, c
        elif edge == 2:
            p, q = c, a
        angle = _angle_between(p, q)
        total += angle
        steps = min(int(angle / 0.1) + 1, 64)
        widest = max(widest, angle / steps)
        for i in range(steps):
            s = _even_parameter(p, q, angle, i / steps)
            x, y, z = p[0] + s * (q[0] - p[0]), p[1] + s * (q[1] - p[1]), p[2] + s * (q[2] - p[2])
            u, v = ftheta_pixel(x, y, z, lens)
            nearest = min(nearest, np.arctan2(np.hypot(x, y), z))
            x0, x1, y0, y1 = min(x0, u), max(x1, u), min(y0, v), max(y1, v)
    if total > 4.5:  # the camera almost touches the triangle: no estimate, the whole image
        box[0], box[1], box[2], box[3] = 0.0, width - 1.0, 0.0, height - 1.0
        return True
    if nearest - widest > lens[6] and total < 1.0:
        return False
    margin = 0.25 * focal * widest * widest + 0.05
    box[0], box[1] = max(np.ceil(x0 - margin), 0.0), min(np.floor(x1 + margin), width - 1.0)
    box[2], box[3] = max(np.ceil(y0 - margin), 0.0), min(np.floor(y1 + margin), height - 1.0)
    return box[0] <= box[1] and box[2] <= box[3]


@part()
def _even_parameter(p, q, angle, fraction):
    """Where on the segment p..q the direction has turned by `fraction` of the angle between both."""
    if fraction == 0.0:
        return 0.0
    near = np.sqrt(p[0] * p[0] + p[1] * p[1] + p[2] * p[2]) * np.sin(fraction * angle)
    rest = np.sqrt(q[0] * q[0] + q[1] * q[1] + q[2] * q[2]) * np.sin((1.0 - fraction) * angle)
    return near / (near + rest) if near + rest > 0.0 else fraction


@part()
def _fill_rays(a, b, c, two_sided, rays, box, number, inverse, ids):
    e0x, e0y, e0z = b[1] * c[2] - b[2] * c[1], b[2] * c[0] - b[0] * c[2], b[0] * c[1] - b[1] * c[0]
    e1x, e1y, e1z = c[1] * a[2] - c[2] * a[1], c[2] * a[0] - c[0] * a[2], c[0] * a[1] - c[1] * a[0]
    e2x, e2y, e2z = a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]
    det = a[0] * e0x + a[1] * e0y + a[2] * e0z
    if det == 0.0 or (det > 0.0 and not two_sided):
        return
    s = 1.0 if det > 0.0 else -1.0
    e0x, e0y, e0z, e1x, e1y, e1z = s * e0x, s * e0y, s * e0z, s * e1x, s * e1y, s * e1z
    e2x, e2y, e2z = s * e2x, s * e2y, s * e2z
    wx, wy, wz = (e0x + e1x + e2x) / (s * det), (e0y + e1y + e2y) / (s * det), (e0z + e1z + e2z) / (s * det)
    for v in range(int(box[2]), int(box[3]) + 1):
        for u in range(int(box[0]), int(box[1]) + 1):
            x, y, z = float(rays[0, v, u]), float(rays[1, v, u]), float(rays[2, v, u])
            if (
                x * e0x + y * e0y + z * e0z >= 0.0
                and x * e1x + y * e1y + z * e1z >= 0.0
                and x * e2x + y * e2y + z * e2z >= 0.0
            ):
                w = np.float32(x * wx + y * wy + z * wz)
                if w > inverse[v, u]:
                    inverse[v, u] = w
                    ids[v, u] = number


@kernel()
def place(triangles, attributes, pose, out_triangles, out_attributes):
    """Local geometry into the world. attributes: [N,16] of the shader; pose: [4,4] local to world."""
    for i in range(len(triangles)):
        for j in range(3):
            x, y, z = triangles[i, j, 0], triangles[i, j, 1], triangles[i, j, 2]
            for k in range(3):
                out_triangles[i, j, k] = pose[k, 0] * x + pose[k, 1] * y + pose[k, 2] * z + pose[k, 3]
        for k in range(3, attributes.shape[1]):
            out_attributes[i, k] = attributes[i, k]
        x, y, z = attributes[i, 0], attributes[i, 1], attributes[i, 2]
        for k in range(3):
            out_attributes[i, k] = pose[k, 0] * x + pose[k, 1] * y + pose[k, 2] * z
