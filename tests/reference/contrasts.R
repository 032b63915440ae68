# R's answers for factorial contrasts: run `Rscript contrasts.R` in this directory.
# Writes contrasts.json (inputs and answers, 17 digits). Needs afex, emmeans and jsonlite; the
# tests read the JSON and need no R.
#
# Cells are T1 to Tn and the student S, weak before strong, S slowest and Tn fastest. Contrasts
# are those of a within-subjects analysis of variance, by emmeans on its multivariate model: each
# has its own error with (seeds - 1) degrees of freedom.
suppressPackageStartupMessages({
  library(afex)
  library(emmeans)
  library(jsonlite)
})
RNGversion("4.2.0")
set.seed(20261125)

cells_of <- function(n) {
  levels <- c("weak", "strong")
  columns <- c(setNames(rep(list(levels), n), paste0("T", n:1)), list(S = levels))
  do.call(expand.grid, c(columns, stringsAsFactors = FALSE))
}

difference <- function(these, those) these / sum(these) - those / sum(those)

# written out here by the levels, not taken from the software that they are to check
weights_of <- function(n) {
  cells <- cells_of(n)
  strong <- function(name) as.numeric(cells[[name]] == "strong")
  teams <- sapply(paste0("T", seq_len(n)), strong)
  s <- strong("S")
  found <- lapply(seq_len(n), function(i) difference(teams[, i], 1 - teams[, i]))
  names(found) <- paste0("t", seq_len(n))
  crossed <- "t1"
  if (n > 1) {
    all_strong <- as.numeric(rowSums(teams) == n)
    all_weak <- as.numeric(rowSums(teams) == 0)
    equal <- all_strong + all_weak
    found$teachers <- difference(all_strong, all_weak)
    found$mixed <- difference(1 - equal, equal)
    crossed <- c("t1", "teachers", "mixed")
  }
  found$student <- difference(s, 1 - s)
  half <- function(w, side) 2 * w * side
  for (name in crossed) {
    found[[paste0(name, "_by_student")]] <- half(found[[name]], s) - half(found[[name]], 1 - s)
  }
  found
}

simulate <- function(seeds, n, sd) {
  cells <- cells_of(n)
  effects <- rnorm(nrow(cells), 0, 0.02)
  level <- rnorm(seeds, 0.3, 0.05)
  own <- matrix(rnorm(seeds * nrow(cells), 0, sd), seeds)
  t(sapply(seq_len(seeds), function(i) level[i] + effects + own[i, ]))
}

answer <- function(n, y) {
  cells <- cells_of(n)
  long <- do.call(rbind, lapply(seq_len(nrow(y)), function(i) {
    data.frame(seed = factor(i), cells, y = y[i, ])
  }))
  factors <- c(paste0("T", seq_len(n)), "S")
  for (name in factors) long[[name]] <- factor(long[[name]], levels = c("weak", "strong"))
  fit <- aov_ez("seed", "y", long, within = factors, anova_table = list(es = "none"))
  grid <- emmeans(fit, rev(c("S", paste0("T", seq_len(n)))), model = "multivariate")
  # emmeans lays its grid out with the first factor fastest: as the cells here
  stopifnot(all(as.matrix(as.data.frame(grid)[, names(cells)]) == as.matrix(cells)))
  found <- as.data.frame(summary(contrast(grid, weights_of(n)), infer = c(TRUE, TRUE)))
  main <- anova(fit, correction = "none", es = "none")
  list(
    teachers = n,
    y = y,
    contrasts = lapply(seq_len(nrow(found)), function(i) list(
      name = as.character(found$contrast[i]),
      estimate = found$estimate[i], se = found$SE[i], df = found$df[i], t = found$t.ratio[i],
      p = found$p.value[i], low = found$lower.CL[i], high = found$upper.CL[i]
    )),
    anova = list(T1 = main["T1", "F"], S = main["S", "F"], T1_S = main["T1:S", "F"])
  )
}

writeLines(toJSON(list(
  made_by = paste(R.version.string, "afex", packageVersion("afex"), "emmeans",
                  packageVersion("emmeans")),
  one = answer(1, simulate(8, 1, 0.02)),
  two = answer(2, simulate(8, 2, 0.02)),
  three = answer(3, simulate(20, 3, 0.03))
), digits = I(17), auto_unbox = TRUE, matrix = "rowmajor"), "contrasts.json")
