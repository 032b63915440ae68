# The reference answers of tests/analyze/inference: associations, correlations, wild bootstrap,
# mediation. Writes associations.json beside this script. Tests read that file and need no R.
#
# Run: Rscript tests/reference/associations.R
# Needs: R >= 4.2, clubSandwich (0.5.8 gave the stored answers), jsonlite.
# Inputs are rounded to 6 decimals, so that the file holds exactly what R computed with; answers
# carry 15 significant digits, the most that jsonlite writes.

suppressPackageStartupMessages({
  library(clubSandwich)
  library(jsonlite)
})

# --- Data: one row per student; x predictor, y outcome; halves A and B of the test images ---

simulate_rows <- function(random_seed, seeds, strengths, x_trend, y_trend, slope,
                          x_slope_sd = 0, y_slope_sd = 0, seed_link = 0, drop = integer(0)) {
  set.seed(random_seed)
  rows <- expand.grid(dose = strengths, block = seq_len(seeds))
  seed_x <- rnorm(seeds)
  seed_y <- seed_link * seed_x + rnorm(seeds, sd = .5)
  tilt_x <- rnorm(seeds, sd = x_slope_sd)
  tilt_y <- rnorm(seeds, sd = y_slope_sd)
  n <- nrow(rows)
  true_x <- seed_x[rows$block] + (x_trend + tilt_x[rows$block]) * rows$dose + rnorm(n, sd = .4)
  true_y <- seed_y[rows$block] + (y_trend + tilt_y[rows$block]) * rows$dose +
    slope * true_x + rnorm(n, sd = .3)
  rows$x <- true_x
  rows$y <- true_y
  for (half in c("a", "b")) {
    shared <- rnorm(n, sd = .2) # the test images of one half move both measures
    rows[[paste0("x_", half)]] <- true_x + shared
    rows[[paste0("y_", half)]] <- true_y + .8 * shared
  }
  if (length(drop)) rows <- rows[-drop, ]
  round(rows, 6)
}

five <- c(0, .25, .5, .75, 1)
datasets <- list(
  balanced = simulate_rows(101, 8, five, -1, -1, .5),
  unbalanced = simulate_rows(102, 9, five, -1, -1, .5, drop = c(1, 7, 8, 19, 20, 33)),
  null = simulate_rows(103, 8, five, 0, 0, 0),
  common_cause = simulate_rows(104, 10, five, -2, -3, 0),
  heterogeneous = simulate_rows(105, 7, five, -2, -3, 0, x_slope_sd = 1, y_slope_sd = 1),
  simpson = simulate_rows(106, 8, five, 0, 0, -.8, seed_link = 4),
  three_seeds = simulate_rows(107, 3, c(0, .5, 1), -1, -1, .5),
  two_strengths = simulate_rows(108, 6, c(0, 1), -1, -1, .5)
)

# --- Within associations ---

coefficient_row <- function(fit, name, cluster) {
  robust <- coef_test(fit, vcov = vcovCR(fit, cluster = cluster, type = "CR2"),
                      test = "Satterthwaite")
  row <- robust[rownames(robust) == name, ]
  list(estimate = row$beta, standard_error = row$SE, statistic = row$tstat,
       df = row$df_Satt, p_value = row$p_Satt)
}

ols_row <- function(fit, name) {
  row <- summary(fit)$coefficients[name, ]
  list(estimate = row[[1]], standard_error = row[[2]], statistic = row[[3]],
       df = fit$df.residual, p_value = row[[4]])
}

two_way <- function(rows) {
  lm(y ~ x + factor(block) + factor(dose), data = rows)
}

stack_halves <- function(rows) {
  rbind(
    data.frame(block = rows$block, dose = rows$dose, x = rows$x_a, y = rows$y_b, half = "ab"),
    data.frame(block = rows$block, dose = rows$dose, x = rows$x_b, y = rows$y_a, half = "ba")
  )
}

split_half <- function(rows) {
  stacked <- stack_halves(rows)
  fit <- lm(y ~ x + interaction(block, half, drop = TRUE) + interaction(dose, half, drop = TRUE),
            data = stacked)
  coefficient_row(fit, "x", stacked$block)
}

# Within, between-seed and between-strength parts of x, each with its own slope (Mundlak 1978).
mundlak <- function(rows) {
  additive <- lm(x ~ factor(block) + factor(dose), data = rows)
  parts <- predict(additive, type = "terms")
  rows$within <- residuals(additive)
  rows$seed_part <- parts[, 1]
  rows$strength_part <- parts[, 2]
  fit <- lm(y ~ within + seed_part + strength_part, data = rows)
  rows$x_context <- rows$within + rows$seed_part
  context <- lm(y ~ x_context + seed_part + strength_part, data = rows)
  list(
    within = coefficient_row(fit, "within", rows$block),
    between_seed = coefficient_row(fit, "seed_part", rows$block),
    between_strength = coefficient_row(fit, "strength_part", rows$block),
    context = coefficient_row(context, "seed_part", rows$block)
  )
}

# --- Correlations ---

fisher <- function(r, df, level = .95) {
  reach <- qnorm((1 + level) / 2) / sqrt(df - 1)
  c(tanh(atanh(r) - reach), tanh(atanh(r) + reach))
}

from_r <- function(r, df) {
  t <- r * sqrt(df / (1 - r^2))
  list(estimate = r, df = df, p_value = 2 * pt(-abs(t), df), interval = fisher(r, df))
}

# Repeated measures correlation: Bakdash & Marusich (2017), from the ANCOVA's sums of squares.
repeated_measures <- function(rows) {
  fit <- lm(y ~ factor(block) + x, data = rows)
  squares <- anova(fit)
  r <- sign(coef(fit)[["x"]]) *
    sqrt(squares["x", "Sum Sq"] / (squares["x", "Sum Sq"] + squares["Residuals", "Sum Sq"]))
  result <- from_r(r, fit$df.residual)
  result$p_value <- squares["x", "Pr(>F)"]
  result
}

two_way_correlation <- function(rows) {
  fit <- lm(y ~ factor(block) + factor(dose) + x, data = rows)
  t <- summary(fit)$coefficients["x", 3]
  from_r(t / sqrt(t^2 + fit$df.residual), fit$df.residual)
}

correlations <- function(rows) {
  # adjusted means: the additive fit's effects, which are the plain means where cells are complete
  effects <- function(column) {
    fit <- lm(reformulate(c("factor(block)", "factor(dose)"), column), data = rows)
    predict(fit, type = "terms")
  }
  by <- function(part, key) tapply(part, key, function(v) v[[1]])
  x <- effects("x")
  y <- effects("y")
  seed <- cor.test(by(x[, 1], rows$block), by(y[, 1], rows$block))
  result <- list(
    pooled = cor(rows$x, rows$y),
    between_condition = cor(by(x[, 2], rows$dose), by(y[, 2], rows$dose)),
    between_seed = list(estimate = seed$estimate[[1]], df = seed$parameter[[1]],
                        p_value = seed$p.value,
                        interval = if (is.null(seed$conf.int)) NULL else c(seed$conf.int)),
    within_seed = repeated_measures(rows),
    two_way_within = two_way_correlation(rows)
  )
  result
}

# --- Diagnostics of the within association ---

diagnostics <- function(rows) {
  common <- two_way(rows)
  own <- lm(y ~ x + factor(block) + factor(dose) + factor(block):dose, data = rows)
  trends <- if (own$df.residual > 0) anova(common, own)
  left <- residuals(common)
  spread <- anova(lm(abs(left - ave(left, rows$dose, FUN = median)) ~ factor(rows$dose)))
  normal <- shapiro.test(left)
  list(
    seed_trends = if (!is.null(trends)) list(statistic = trends$F[2], p_value = trends[2, 6]),
    residual_spread = list(statistic = spread$`F value`[1], p_value = spread$`Pr(>F)`[1]),
    residual_normality = list(statistic = normal$statistic[[1]], p_value = normal$p.value)
  )
}

# --- Wild cluster bootstrap: every sign vector, by refitting (no algebra shared with Python) ---

wild_enumerated <- function(rows) {
  unrestricted <- lm(y ~ x + factor(block) + factor(dose), data = rows)
  restricted <- lm(y ~ factor(block) + factor(dose), data = rows)
  robust_t <- function(fit) {
    # CR1: its factor is the same in every draw
    coef(fit)[["x"]] / sqrt(as.matrix(vcovCR(fit, cluster = rows$block, type = "CR1"))["x", "x"])
  }
  observed <- abs(robust_t(unrestricted))
  labels <- sort(unique(rows$block))
  signs <- as.matrix(expand.grid(rep(list(c(-1, 1)), length(labels))))
  drawn <- apply(signs, 1, function(w) {
    fresh <- rows
    fresh$y <- fitted(restricted) + residuals(restricted) * w[match(rows$block, labels)]
    abs(robust_t(lm(y ~ x + factor(block) + factor(dose), data = fresh)))
  })
  list(statistic = robust_t(unrestricted), p_value = mean(drawn >= observed * (1 - 1e-9)))
}

# --- Mediation: x mediates strength -> y, within seeds ---
# Path a: x's slope on strength. Path b: y's slope on x at fixed seed and strength, strength a
# factor. Of y's slope on strength, a * b is indirect and the rest direct.

# The mediator's coefficient that a residual correlation rho implies, from the moments of the
# two reduced-form residuals: a root search, not the closed form (Imai, Keele, Yamamoto 2010).
acme_at <- function(rows, rho) {
  slope <- lm(x ~ dose + factor(block), data = rows)
  mediator <- lm(x ~ factor(dose) + factor(block), data = rows)
  total <- lm(y ~ factor(dose) + factor(block), data = rows)
  s22 <- mean(residuals(mediator)^2)
  s11 <- mean(residuals(total)^2)
  s12 <- mean(residuals(mediator) * residuals(total))
  gap <- function(gamma) {
    s33 <- s11 - 2 * gamma * s12 + gamma^2 * s22
    s12 - gamma * s22 - rho * sqrt(s22 * s33)
  }
  gamma <- uniroot(gap, c(-100, 100), tol = 1e-13)$root
  coef(slope)[["dose"]] * gamma
}

mediation <- function(rows) {
  slopes <- sapply(split(rows, rows$block), function(one) coef(lm(x ~ dose, data = one))[[2]])
  a <- t.test(slopes)
  outcome <- two_way(rows)
  slope_x <- coef(lm(x ~ dose + factor(block), data = rows))[["dose"]]
  rows$direct <- rows$y - coef(outcome)[["x"]] * rows$x
  list(
    a = list(estimate = a$estimate[[1]], standard_error = a$stderr, df = a$parameter[[1]],
             p_value = a$p.value),
    b = coefficient_row(outcome, "x", rows$block),
    acme = slope_x * coef(outcome)[["x"]],
    ade = coef(lm(direct ~ dose + factor(block), data = rows))[["dose"]],
    total = coef(lm(y ~ dose + factor(block), data = rows))[["dose"]],
    rho = uniroot(function(rho) acme_at(rows, rho), c(-.99, .99), tol = 1e-12)$root,
    acme_at = list(rho = c(-.3, .2, .5), acme = sapply(c(-.3, .2, .5), acme_at, rows = rows))
  )
}

mediation_split <- function(rows) {
  stacked <- stack_halves(rows)
  b <- split_half(rows)
  stacked$direct <- stacked$y - b$estimate * stacked$x
  ade <- lm(direct ~ dose + interaction(block, half, drop = TRUE), data = stacked)
  list(b = b, ade = coef(ade)[["dose"]])
}

# A confounder that is fixed within a seed: it lifts mediator and outcome; nothing is mediated.
datasets$seed_confounder <- simulate_rows(109, 10, five, -1, -1, 0, seed_link = 2)

# One seed with a single student, one with two, and two students in some cells.
datasets$sparse <- simulate_rows(110, 7, five, -1, -1, .5, drop = c(1:4, 7, 8, 10, 16, 35))
twins <- simulate_rows(111, 7, five, -1, -1, .5)[c(12, 20, 23), ]
datasets$sparse <- rbind(datasets$sparse, twins)

# --- Answers ---

answers <- lapply(names(datasets), function(name) {
  rows <- datasets[[name]]
  list(
    rows = as.list(rows),
    two_way_within_cr2 = coefficient_row(two_way(rows), "x", rows$block),
    two_way_within_ols = ols_row(two_way(rows), "x"),
    split_half_within_cr2 = split_half(rows),
    mundlak = if (length(unique(rows$dose)) > 2) mundlak(rows),
    correlations = correlations(rows),
    diagnostics = if (length(unique(rows$dose)) > 2) diagnostics(rows),
    mediation = if (length(unique(rows$dose)) > 2) mediation(rows),
    mediation_split = mediation_split(rows)
  )
})
names(answers) <- names(datasets)
for (name in c("balanced", "unbalanced")) {
  answers[[name]]$wild_cluster <- wild_enumerated(datasets[[name]])
}

here <- dirname(sub("^--file=", "", grep("^--file=", commandArgs(), value = TRUE)))
write(
  toJSON(
    list(made_by = "tests/reference/associations.R", R = R.version.string,
         clubSandwich = as.character(packageVersion("clubSandwich")), data = answers),
    digits = I(15), auto_unbox = TRUE, null = "null"
  ),
  file.path(here, "associations.json")
)
