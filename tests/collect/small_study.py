"""The smallest study of any data set, for tests that read images and train little or nothing."""

from store.design import Design


def small_study(dataset: dict, *, strides: tuple[int, int, int] = (1, 2, 1)) -> Design:
    network = {"depth": 8, "width": 4, "strides": list(strides)}
    recipe = {"epochs": 2, "batch_size": 20, "learning_rate": 0.05}
    return Design.model_validate(
        {
            "study": "small",
            "title": "Small",
            "study_seed": 5,
            "seeds": 2,
            "dataset": dataset,
            "networks": {"teacher": network, "student": network},
            "training": {"teacher": recipe, "student": recipe},
            "design": {"strengths": [0, 1]},
            "claims": {"H1": {"sesoi": {"attention_iou_adjusted": 0.1}}},
        }
    )
