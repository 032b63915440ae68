# R's answers for random-effects meta-analyses: run `Rscript meta_analysis.R` in this directory.
# Writes meta_analysis.json (inputs and answers, 17 digits). Needs metafor and jsonlite; the
# tests read the JSON and need no R.
#
# knha: the interval of Hartung, Knapp, Sidik and Jonkman; adhoc: the same, its factor never below
# 1. Prediction: t with k - 2 degrees of freedom (metafor's "riley"), from 3 studies on.
suppressPackageStartupMessages({
  library(metafor)
  library(jsonlite)
})
RNGversion("4.2.0")
set.seed(20261125)

answer <- function(y, se) {
  v <- se^2
  tight <- list(threshold = 1e-14, maxiter = 10000)
  fit <- function(test) rma(yi = y, vi = v, method = "REML", test = test, control = tight)
  plain <- fit("knha")
  floored <- fit("adhoc")
  tau2 <- confint(floored, control = list(tol = 1e-14, tau2.max = 1e4 * diff(range(y))^2))$random
  k <- length(y)
  # the reach is written out, as predict() of this version pairs "riley" with the fit's own test
  reach <- if (k > 2) qt(.975, k - 2) * sqrt(floored$tau2 + floored$se^2) else NA
  if (k > 2) {
    theirs <- predict(floored, pi.type = "riley")
    stopifnot(abs(theirs$pi.lb - (floored$beta[1] - reach)) < 1e-12 * abs(reach))
  }
  list(
    y = y, se = se, k = k,
    estimate = floored$beta[1],
    tau2 = floored$tau2, tau2_low = tau2["tau^2", "ci.lb"], tau2_high = tau2["tau^2", "ci.ub"],
    i2 = floored$I2 / 100, q = floored$QE, q_p = floored$QEp,
    knha = list(se = plain$se, low = plain$ci.lb, high = plain$ci.ub),
    adhoc = list(se = floored$se, low = floored$ci.lb, high = floored$ci.ub),
    prediction = if (k > 2) list(low = floored$beta[1] - reach, high = floored$beta[1] + reach),
    weights = as.vector(weights(floored)) / 100
  )
}

drawn <- function(k, tau, se) {
  rnorm(k, -.03, sqrt(tau^2 + se^2))
}

bcg <- escalc(measure = "RR", ai = tpos, bi = tneg, ci = cpos, di = cneg, data = dat.bcg)
spread <- c(.004, .01, .02, .006, .015, .03)
writeLines(toJSON(list(
  made_by = paste(R.version.string, "metafor", packageVersion("metafor")),
  bcg = answer(as.vector(bcg$yi), sqrt(as.vector(bcg$vi))),
  two = answer(c(-.021, -.034), c(.004, .006)),
  two_far = answer(c(-.021, .08), c(.004, .016)),
  three_alike = answer(c(-.0205, -.0212, -.0199), c(.004, .006, .009)),
  four = answer(drawn(4, .02, spread[1:4]), spread[1:4]),
  six = answer(drawn(6, .03, spread), spread),
  twenty = answer(drawn(20, .01, rep(spread, length.out = 20)), rep(spread, length.out = 20)),
  unequal = answer(c(.5, .1, .9, -.3, 40), c(.05, .2, 3, .5, 30))
), digits = I(17), auto_unbox = TRUE, null = "null"), "meta_analysis.json")
