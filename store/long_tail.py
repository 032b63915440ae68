"""The long-tailed profile: how many training images each class keeps."""


def long_tail(largest: int, classes: int, imbalance: float) -> tuple[int, ...]:
    """Images of each class, from the largest, class 0, to the smallest, in the labels' order.

    Class c keeps int(largest * imbalance^(-c / (classes - 1))): exponentially fewer, the last
    1 / imbalance of the first. Source: Cui et al. (2019); Cao et al. (2019).
    """
    return tuple(
        # what is an integer but for rounding must not lose an image
        int(largest * imbalance ** (-label / max(classes - 1, 1)) + 1e-9)
        for label in range(classes)
    )
