"""Shapes of convolutions that hypothesis draws."""

from hypothesis import strategies as st


@st.composite
def convolutions(draw, winograd=False):
    """Arguments of a convolution, and its shapes."""
    kernel = draw(st.sampled_from([(3, 3), (5, 5)] if winograd else [(1, 1), (3, 3), (2, 3), (5, 5), (1, 4), (7, 7)]))
    groups = 1 if winograd else draw(st.sampled_from([1, 1, 1, 2, 3]))
    least = 16 if winograd else 1
    channels = groups * draw(st.integers(least, 40 // groups))
    filters = groups * draw(st.integers(least, 80 // groups))
    stride = (1, 1) if winograd else draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
    dilation = (1, 1) if winograd else draw(st.sampled_from([(1, 1), (1, 1), (2, 1), (1, 3)]))
    padding = draw(
        st.one_of(
            st.sampled_from(["same", "valid"]),
            st.tuples(*[st.tuples(st.integers(0, 3), st.integers(0, 3))] * 2),
        )
    )
    batch = draw(st.sampled_from([1, 2, 3, 9]))
    extents = [(kernel[i] - 1) * dilation[i] + 1 for i in range(2)]
    if padding == "same":
        needed = (1, 1)
    else:
        pads = ((0, 0), (0, 0)) if padding == "valid" else padding
        needed = tuple(max(1, extents[i] - sum(pads[i])) for i in range(2))
    height, width = (draw(st.integers(n, n + 14)) for n in needed)
    options = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    return (batch, height, width, channels), (*kernel, channels // groups, filters), options


@st.composite
def depthwise_convolutions(draw):
    """One filter for each channel, among them images of one pixel and kernels that are mostly outside."""
    kernel = draw(st.sampled_from([(3, 3), (3, 3), (5, 5), (2, 3), (7, 4)]))
    channels = draw(st.integers(2, 40))
    stride = draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
    dilation = draw(st.sampled_from([(1, 1), (1, 1), (2, 1), (1, 3), (2, 2)]))
    padding = draw(st.tuples(*[st.tuples(st.integers(0, 4), st.integers(0, 4))] * 2))
    needed = (max(1, (kernel[i] - 1) * dilation[i] + 1 - sum(padding[i])) for i in range(2))
    height, width = (draw(st.integers(n, n + more)) for n, more in zip(needed, (6, 24), strict=True))
    options = {"stride": stride, "padding": padding, "dilation": dilation, "groups": channels}
    return (draw(st.sampled_from([1, 3, 20])), height, width, channels), (*kernel, 1, channels), options
