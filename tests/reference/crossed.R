# R's answers for models with several grouping factors: run `Rscript crossed.R` in this directory.
# Writes crossed.json (inputs and answers, 17 digits). Needs lme4, pbkrtest and jsonlite; the
# tests read the JSON and need no R.
#
# Every model is fitted from several starts, and the best is kept: with few pools lme4 can stop at
# a boundary that is not its best. Where a variance is 0, pbkrtest's adjustment and degrees of
# freedom take that variance's derivative as any other's, and invert the information by MASS::ginv
# when an eigenvalue is below 1e-10; outcomes here are of a size that keeps all of them above.
suppressPackageStartupMessages({
  library(lme4)
  library(pbkrtest)
  library(jsonlite)
})
RNGversion("4.2.0")
set.seed(20240715)

tight <- lmerControl(
  optimizer = "nloptwrap",
  optCtrl = list(xtol_rel = 1e-14, xtol_abs = 1e-14, ftol_abs = 1e-15, ftol_rel = 1e-15,
                 maxeval = 1e5),
  calc.derivs = FALSE,
  check.conv.singular = .makeCC(action = "ignore", tol = 1e-4),
  check.nobs.vs.nlev = "ignore", check.nobs.vs.nRE = "ignore"
)
even <- c(0, 0.25, 0.5, 0.75, 1)

# seeds and pools as given, one row per pair and dose; SDs of what varies by seed, pool and cell
simulate <- function(pairs, doses, seed_sd, pool_sd, cell_sd, noise, shares = TRUE) {
  rows <- merge(pairs, data.frame(dose = doses))
  rows <- rows[order(rows$seed, rows$pool, rows$dose), ]
  d <- rows$dose - mean(doses)
  by <- function(label, sd) rnorm(max(label), 0, sd)[label]
  cell <- as.integer(interaction(rows$pool, rows$dose))
  trend <- function(slope) {
    slope * rows$dose + by(rows$seed, seed_sd[1]) + by(rows$seed, seed_sd[2]) * d +
      by(rows$pool, pool_sd[1]) + by(rows$pool, pool_sd[2]) * d + by(cell, cell_sd)
  }
  rows$x <- 0.6 + trend(-0.3)
  # of a predictor that is the teachers' alone, all students of a cell have the same value
  rows$x <- if (shares) ave(rows$x, cell) else rows$x + rnorm(nrow(rows), 0, noise)
  rows$y <- 0.3 + trend(-0.2) + 0.2 * rows$x + rnorm(nrow(rows), 0, noise)
  rows
}

crossed <- function(n, p) expand.grid(seed = seq_len(n), pool = seq_len(p))
nested <- function(n, p) data.frame(seed = seq_len(n), pool = rep(seq_len(p), length.out = n))
partly <- rbind(nested(10, 4), data.frame(seed = c(1, 2, 3, 6, 8, 9), pool = c(3, 4, 1, 3, 2, 2)))

lost <- function(rows, share) rows[-sample(nrow(rows), round(share * nrow(rows))), ]

datasets <- list(
  crossed = simulate(crossed(8, 4), even, c(0.2, 0.3), c(0.2, 0.3), 0.1, 0.15),
  crossed_students = simulate(crossed(6, 5), even, c(0.2, 0.2), c(0.2, 0.2), 0.1, 0.1,
                              shares = FALSE),
  crossed_unbalanced = lost(simulate(crossed(7, 4), even, c(0.2, 0.3), c(0.2, 0.4), 0.1, 0.2,
                                     shares = FALSE), 0.25),
  partly_crossed = lost(simulate(partly, even, c(0.2, 0.2), c(0.2, 0.3), 0.15, 0.15), 0.1),
  nested = simulate(nested(12, 4), even, c(0.2, 0.3), c(0.2, 0.3), 0.1, 0.15),
  nested_unbalanced = lost(simulate(nested(11, 3), c(0, 0.1, 0.4, 1), c(0.2, 0.3), c(0.1, 0.3),
                                    0.1, 0.1, shares = FALSE), 0.15),
  pool_variance_0 = simulate(crossed(8, 4), even, c(0.2, 0.3), c(0, 0), 0, 0.2, shares = FALSE),
  nested_variance_0 = lost(simulate(nested(12, 4), even, c(0.2, 0.2), c(0, 0), 0, 0.2,
                                    shares = FALSE), 0.1),
  all_variances_0 = simulate(crossed(6, 4), even, c(0, 0), c(0, 0), 0, 0.2, shares = FALSE),
  many_pools = simulate(crossed(5, 9), even, c(0.1, 0.2), c(0.2, 0.1), 0.05, 0.1, shares = FALSE)
)

best_of <- function(formula, rows) {
  fits <- lapply(c(1, 0.1, 5), function(start) {
    count <- length(lFormula(formula, rows, control = tight)$reTrms$theta)
    suppressMessages(suppressWarnings(
      lmer(formula, rows, control = tight, start = rep(start, count))
    ))
  })
  fits[[which.min(sapply(fits, REMLcrit))]]
}

answer <- function(formula, rows, name) {
  fit <- best_of(formula, rows)
  plain <- as.matrix(vcov(fit))
  adjusted <- vcovAdj(fit)
  place <- which(names(fixef(fit)) == name)
  contrast <- as.numeric(seq_along(fixef(fit)) == place)
  components <- as.data.frame(VarCorr(fit))
  variances <- components$vcov[components$grp != "Residual"]
  names(variances) <- paste(sub("\\.[0-9]+$", "", components$grp[components$grp != "Residual"]),
                            components$var1[components$grp != "Residual"])
  list(
    estimate = unname(fixef(fit)[place]),
    plain_se = sqrt(plain[place, place]),
    se = sqrt(as.matrix(adjusted)[place, place]),
    df = Lb_ddf(contrast, plain, adjusted),
    criterion = unname(REMLcrit(fit)),
    residual_variance = sigma(fit)^2,
    variances = as.list(variances),
    singular = isSingular(fit, tol = 1e-4)
  )
}

answers <- function(rows) {
  rows$d <- rows$dose - mean(rows$dose)
  for (label in c("seed", "pool")) rows[[label]] <- factor(rows[[label]])
  rows$cell <- factor(paste(rows$pool, rows$dose))
  rows$seed_cell <- factor(paste(rows$seed, rows$dose))
  rows$series <- factor(paste(rows$seed, rows$pool))
  twice <- nlevels(rows$series) > nlevels(rows$seed)
  list(
    # the model of crossed_slope, then without and with the teachers' own cells
    slope = answer(y ~ d + (1 | seed) + (1 | pool) + (0 + d | seed) + (0 + d | pool), rows, "d"),
    slope_cell = answer(y ~ d + (1 | seed) + (1 | pool) + (0 + d | seed) + (0 + d | pool) +
                          (1 | cell), rows, "d"),
    intercepts = answer(y ~ d + (1 | seed) + (1 | pool), rows, "d"),
    within = answer(y ~ x + factor(dose) + series + (1 | cell) + (0 + d | pool) + (0 + d | seed),
                    rows, "x"),
    within_seed_cell = if (twice) {
      answer(y ~ x + factor(dose) + series + (1 | cell) + (0 + d | pool) + (0 + d | seed) +
               (1 | seed_cell), rows, "x")
    }
  )
}

writeLines(toJSON(list(
  made_by = paste(R.version.string, "lme4", packageVersion("lme4"), "pbkrtest",
                  packageVersion("pbkrtest")),
  data = lapply(datasets, function(rows) list(
    rows = as.list(rows[c("seed", "pool", "dose", "x", "y")]), answers = answers(rows)))
), digits = I(17), auto_unbox = TRUE, null = "null", na = "null"), "crossed.json")
