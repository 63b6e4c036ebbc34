/*
 * plot.h - plots as inline SVG. Colours come from the page's style sheet, by class; axes are linear
 * in what they are given: a logarithm is the caller's.
 */
#pragma once

#include "base/bytes.h"

#include <stdio.h>

#define PLOT_WIDTH  760
#define PLOT_HEIGHT 260

struct plot {
    FILE *out;
    double x_min;
    double x_max;
    double y_min;
    double y_max;
};

struct plot_point {
    double x;
    double y;
};

/* Opens the <svg>; the title is read out by screen readers. */
void plot_open(const struct plot *plot, const char *title);
void plot_close(const struct plot *plot);

/* A grid line with its label. */
void plot_tick_x(const struct plot *plot, double x, const char *label);
void plot_tick_y(const struct plot *plot, double y, const char *label);
void plot_label_y(const struct plot *plot, const char *label);

void plot_line(const struct plot *plot, const char *class, const struct plot_point *points,
               uint32_t count);
void plot_area(const struct plot *plot, const char *class, const struct plot_point *points,
               uint32_t count);
void plot_marker_x(const struct plot *plot, double x, const char *label);

/* A step of 1, 2 or 5 x 10^n that cuts the range into at most `parts`. */
MUST_CHECK double plot_step(double range, uint32_t parts);

/* Text with &, <, > and quotes replaced. */
void plot_escape(FILE *out, const char *text);
