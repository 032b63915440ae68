# R's answers for the tests over seeds: run `Rscript trends.R` in this directory.
# Writes trends.json (inputs and answers, 17 digits). Needs lme4, lmerTest, pbkrtest,
# BayesFactor and jsonlite; the tests read the JSON and need no R.
suppressPackageStartupMessages({
  library(lme4)
  library(pbkrtest)
  library(BayesFactor)
  library(jsonlite)
})
RNGversion("4.2.0")
set.seed(20240501)

tight <- lmerControl(
  optimizer = "nloptwrap",
  optCtrl = list(xtol_rel = 1e-14, xtol_abs = 1e-14, ftol_abs = 1e-15, ftol_rel = 1e-15,
                 maxeval = 1e5),
  calc.derivs = FALSE,
  check.conv.singular = .makeCC(action = "ignore", tol = 1e-4)
)

simulate <- function(n, doses, seed_sd, slope_sd, noise, slope) {
  k <- length(doses)
  level <- rnorm(n, 0.3, seed_sd)
  tilt <- rnorm(n, slope, slope_sd)
  t(sapply(seq_len(n), function(i) level[i] + tilt[i] * doses + noise(k)))
}
normal <- function(sd) function(k) rnorm(k, 0, sd)

even <- c(0, 0.25, 0.5, 0.75, 1)
uneven <- c(0, 0.1, 0.4, 1)
panels <- list(
  balanced = list(doses = even, y = simulate(10, even, 0.04, 0.05, normal(0.03), -0.08)),
  null = list(doses = even, y = simulate(8, even, 0.04, 0.03, normal(0.03), 0)),
  uneven = list(doses = uneven, y = simulate(12, uneven, 0.02, 0.02, normal(0.02), -0.05)),
  heteroscedastic = list(doses = even, y = simulate(9, even, 0.03, 0,
    function(k) rnorm(k, 0, 0.02 * (1 + 3 * even)), -0.05)),
  heavy_tailed = list(doses = even, y = simulate(11, even, 0.03, 0.02,
    function(k) 0.02 * rt(k, 2), -0.06)),
  boundary = list(doses = even, y = local({
    y <- simulate(6, even, 0, 0, normal(0.03), -0.05)
    sweep(y, 1, rowMeans(y) - 0.3)
  })),
  tied = list(doses = even, y = round(simulate(7, even, 0.1, 0.1, normal(0.15), -0.2), 1)),
  two_doses = list(doses = c(0, 1), y = simulate(6, c(0, 1), 0.04, 0, normal(0.03), -0.05)),
  many = list(doses = even, y = simulate(24, even, 0.04, 0.05, normal(0.03), -0.03))
)

slopes_of <- function(y, doses) apply(y, 1, function(row) unname(coef(lm(row ~ doses))[2]))

long_of <- function(y, doses) data.frame(
  block = rep(seq_len(nrow(y)), times = ncol(y)),
  dose = rep(doses, each = nrow(y)),
  y = as.vector(y)
)

mixed_of <- function(long, kinds = c("intercept", "slope", "correlated_slope")) {
  # centred at the mean over rows, so that uncorrelated random terms are the ones tested
  long$d <- long$dose - mean(long$dose)
  long$block <- factor(long$block)
  formulas <- list(
    intercept = y ~ d + (1 | block),
    slope = y ~ d + (1 | block) + (0 + d | block),
    correlated_slope = y ~ d + (d | block)
  )
  sapply(kinds, function(kind) {
    fit <- suppressMessages(suppressWarnings(lmer(formulas[[kind]], long, control = tight)))
    adjusted <- vcovAdj(fit)
    contrast <- c(0, 1)
    list(
      estimate = unname(fixef(fit)[2]),
      intercept = unname(fixef(fit)[1]),
      plain_se = sqrt(as.matrix(vcov(fit))[2, 2]),
      se = sqrt(as.matrix(adjusted)[2, 2]),
      df = Lb_ddf(contrast, as.matrix(vcov(fit)), adjusted),
      criterion = REMLcrit(fit),
      residual_variance = sigma(fit)^2,
      random_variances = unname(unlist(lapply(VarCorr(fit), function(v) diag(as.matrix(v))))),
      singular = isSingular(fit, tol = 1e-4)
    )
  }, simplify = FALSE)
}

bf <- function(x, r) unname(exp(extractBF(ttestBF(x, rscale = r), logbf = TRUE)$bf))

answer <- function(panel) {
  y <- panel$y
  doses <- panel$doses
  k <- ncol(y)
  slopes <- slopes_of(y, doses)
  t <- t.test(slopes)
  t99 <- t.test(slopes, conf.level = 0.99)
  w <- suppressWarnings(wilcox.test(slopes, conf.int = TRUE, exact = TRUE))
  contrasts <- y %*% contr.poly(k, scores = doses)
  polynomial <- apply(contrasts[, seq_len(min(3, k - 1)), drop = FALSE], 2, function(x) {
    if (sd(x) < 1e-12) return(NULL)
    p <- t.test(x)
    c(estimate = unname(p$estimate), t = unname(p$statistic), p = p$p.value)
  })
  out <- list(
    slopes = slopes,
    t = list(estimate = unname(t$estimate), se = t$stderr, t = unname(t$statistic),
             df = unname(t$parameter), p = t$p.value, low = t$conf.int[1], high = t$conf.int[2],
             low99 = t99$conf.int[1], high99 = t99$conf.int[2]),
    wilcoxon = list(v = unname(w$statistic), p = w$p.value, low = w$conf.int[1],
                    high = w$conf.int[2], achieved = attr(w$conf.int, "conf.level"),
                    centre = unname(w$estimate)),
    polynomial = unname(as.list(as.data.frame(polynomial))),
    bayes = list(r = c(0.5, 0.707, 1, sqrt(2)),
                 bf10 = sapply(c(0.5, 0.707, 1, sqrt(2)), function(r) bf(slopes, r))),
    paired = lapply(2:k, function(j) {
      p <- t.test(y[, j], y[, 1], paired = TRUE)
      d <- y[, j] - y[, 1]
      list(estimate = unname(p$estimate), se = p$stderr, t = unname(p$statistic), p = p$p.value,
           low = p$conf.int[1], high = p$conf.int[2], d_z = mean(d) / sd(d),
           d_av = mean(d) / sqrt((var(y[, j]) + var(y[, 1])) / 2),
           tost = max(t.test(d, mu = -0.03, alternative = "greater")$p.value,
                      t.test(d, mu = 0.03, alternative = "less")$p.value))
    }),
    holm = p.adjust(sapply(2:k, function(j) t.test(y[, j], y[, 1], paired = TRUE)$p.value),
                    "holm"),
    games_howell = t(apply(combn(k, 2), 2, function(pair) {
      v <- apply(y[, pair], 2, var) / nrow(y)
      df <- sum(v)^2 / sum(v^2 / (nrow(y) - 1))
      gap <- mean(y[, pair[2]]) - mean(y[, pair[1]])
      reach <- qtukey(0.95, k, df) * sqrt(sum(v) / 2)
      c(estimate = gap, se = sqrt(sum(v)), df = df,
        p = ptukey(abs(gap) / sqrt(sum(v) / 2), k, df, lower.tail = FALSE),
        low = gap - reach, high = gap + reach)
    })),
    friedman = if (k > 2) {
      f <- friedman.test(y)
      list(chi2 = unname(f$statistic), df = unname(f$parameter), p = f$p.value)
    },
    welch = {
      w <- oneway.test(y ~ dose, long_of(y, doses))
      list(f = unname(w$statistic), df1 = unname(w$parameter[1]), df2 = unname(w$parameter[2]),
           p = w$p.value)
    },
    brown_forsythe = {
      long <- long_of(y, doses)
      z <- abs(long$y - ave(long$y, long$dose, FUN = median))
      a <- anova(lm(z ~ factor(long$dose)))
      list(f = a$`F value`[1], p = a$`Pr(>F)`[1])
    },
    shapiro = { s <- shapiro.test(slopes); list(w = unname(s$statistic), p = s$p.value) },
    mauchly = if (k > 2 && nrow(y) > k) {
      # on the contrasts themselves: given X = ~1, mauchly.test puts the number of columns of
      # y where its second-order term needs the number of contrasts (R 4.2.2)
      h <- contr.helmert(k)
      m <- mauchly.test(lm(y %*% h %*% diag(1 / sqrt(colSums(h^2))) ~ 1))
      list(w = unname(m$statistic), p = m$p.value)
    },
    epsilon = if (k > 2) {
      v <- cov(y %*% contr.helmert(k) %*% diag(1 / sqrt(colSums(contr.helmert(k)^2))))
      sum(diag(v))^2 / ((k - 1) * sum(v^2))
    },
    mixed = if (k > 2) mixed_of(long_of(y, doses)) else mixed_of(long_of(y, doses), "intercept")
  )
  out$wilcoxon$exact <- !any(duplicated(abs(slopes))) && !any(slopes == 0)
  list(doses = doses, y = y, answer = out)
}

# cells missing at random and one seed with two strengths only
unbalanced <- function(n, doses, seed_sd, slope_sd, slope, gaps) {
  long <- long_of(simulate(n, doses, seed_sd, slope_sd, normal(0.03), slope), doses)
  long <- long[-sample(nrow(long), round(gaps * nrow(long))), ]
  list(block = long$block, dose = long$dose, y = long$y, mixed = mixed_of(long))
}

writeLines(toJSON(list(
  made_by = paste(R.version.string, "lme4", packageVersion("lme4"), "pbkrtest",
                  packageVersion("pbkrtest"), "BayesFactor", packageVersion("BayesFactor")),
  panels = lapply(panels, answer),
  tables = list(
    missing_cells = unbalanced(10, even, 0.04, 0.06, -0.08, 0.2),
    missing_many = unbalanced(8, even, 0.05, 0.08, -0.05, 0.35),
    missing_null = unbalanced(12, uneven, 0.03, 0.03, 0, 0.15),
    missing_boundary = unbalanced(7, even, 0, 0, -0.05, 0.2)
  )
), digits = I(17), auto_unbox = TRUE, matrix = "rowmajor", null = "null", na = "null"), "trends.json")
