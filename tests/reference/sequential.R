# R's answers for group-sequential levels: run `Rscript sequential.R` in this directory.
# Writes sequential.json (inputs and answers, 17 digits). Needs rpact and jsonlite; the tests read
# the JSON and need no R.
suppressPackageStartupMessages({
  library(rpact)
  library(jsonlite)
})

# two-sided nominal p-level of each look, Lan-DeMets spending of O'Brien-Fleming type
answer <- function(alpha, fractions) {
  # rpact takes the level of both sides together where sided = 2
  design <- getDesignGroupSequential(
    kMax = length(fractions), alpha = alpha, sided = 2, informationRates = fractions,
    typeOfDesign = "asOF", tolerance = 1e-10
  )
  list(
    alpha = alpha,
    fractions = fractions,
    levels = 2 * pnorm(design$criticalValues, lower.tail = FALSE),
    spent = design$alphaSpent
  )
}

cases <- list(
  answer(0.05, (1:2) / 2),
  answer(0.05, (1:3) / 3),
  answer(0.05, (1:4) / 4),
  answer(0.05, (1:5) / 5),
  answer(0.05, (1:10) / 10),
  answer(0.0125, (1:3) / 3),
  answer(0.01, (1:3) / 3),
  answer(0.01, (1:5) / 5),
  answer(0.05, c(8, 16, 24) / 24),
  answer(0.05, c(8, 15, 24) / 24),
  answer(0.05, c(0.3, 0.32, 0.9, 1)),
  answer(0.025, c(0.15, 0.5, 0.55, 0.8, 0.97, 1))
)

writeLines(toJSON(list(
  made_by = paste(R.version.string, "rpact", packageVersion("rpact")),
  cases = cases
), digits = I(17), auto_unbox = TRUE), "sequential.json")
