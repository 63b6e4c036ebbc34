#include "bench/plot.h"

#include "base/text.h"

#include <math.h>

#define LEFT   64.0 /* room for the labels of y */
#define RIGHT  28.0 /* half of the last label of x */
#define TOP    18.0
#define BOTTOM 30.0

static double place_x(const struct plot *plot, double x)
{
    return LEFT + (x - plot->x_min) / (plot->x_max - plot->x_min) * (PLOT_WIDTH - LEFT - RIGHT);
}

static double place_y(const struct plot *plot, double y)
{
    return PLOT_HEIGHT - BOTTOM -
           (y - plot->y_min) / (plot->y_max - plot->y_min) * (PLOT_HEIGHT - TOP - BOTTOM);
}

void plot_escape(FILE *out, const char *text)
{
    for (const char *at = text; *at != '\0'; at++) {
        switch (*at) {
        case '&':
            text_print(out, "&amp;");
            break;
        case '<':
            text_print(out, "&lt;");
            break;
        case '>':
            text_print(out, "&gt;");
            break;
        case '"':
            text_print(out, "&quot;");
            break;
        case '\'':
            text_print(out, "&#39;");
            break;
        default:
            text_print(out, "%c", *at);
        }
    }
}

void plot_open(const struct plot *plot, const char *title)
{
    ASSERT(plot->x_max > plot->x_min);
    ASSERT(plot->y_max > plot->y_min);
    text_print(plot->out, "<svg viewBox=\"0 0 %d %d\" role=\"img\"><title>", PLOT_WIDTH,
               PLOT_HEIGHT);
    plot_escape(plot->out, title);
    text_print(plot->out, "</title>\n");
}

void plot_close(const struct plot *plot)
{
    text_print(plot->out,
               "<line class=\"axis\" x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\"/>\n", LEFT,
               PLOT_HEIGHT - BOTTOM, PLOT_WIDTH - RIGHT, PLOT_HEIGHT - BOTTOM);
    text_print(plot->out, "</svg>\n");
}

void plot_tick_x(const struct plot *plot, double x, const char *label)
{
    double at = place_x(plot, x);

    text_print(plot->out,
               "<line class=\"grid\" x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\"/>\n", at, TOP,
               at, PLOT_HEIGHT - BOTTOM);
    text_print(plot->out, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">", at,
               PLOT_HEIGHT - BOTTOM + 18);
    plot_escape(plot->out, label);
    text_print(plot->out, "</text>\n");
}

void plot_tick_y(const struct plot *plot, double y, const char *label)
{
    double at = place_y(plot, y);

    text_print(plot->out,
               "<line class=\"grid\" x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\"/>\n", LEFT, at,
               PLOT_WIDTH - RIGHT, at);
    text_print(plot->out, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"end\">", LEFT - 8, at + 4);
    plot_escape(plot->out, label);
    text_print(plot->out, "</text>\n");
}

void plot_label_y(const struct plot *plot, const char *label)
{
    text_print(plot->out, "<text x=\"%.1f\" y=\"%.1f\">", LEFT, TOP - 7);
    plot_escape(plot->out, label);
    text_print(plot->out, "</text>\n");
}

static void write_points(const struct plot *plot, const struct plot_point *points, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        text_print(plot->out, "%s%.1f,%.1f", i == 0 ? "" : " ", place_x(plot, points[i].x),
                   place_y(plot, points[i].y));
    }
}

void plot_line(const struct plot *plot, const char *class, const struct plot_point *points,
               uint32_t count)
{
    text_print(plot->out, "<polyline class=\"line %s\" points=\"", class);
    write_points(plot, points, count);
    text_print(plot->out, "\"/>\n");
}

void plot_area(const struct plot *plot, const char *class, const struct plot_point *points,
               uint32_t count)
{
    if (count == 0) {
        return;
    }
    text_print(plot->out, "<polygon class=\"area %s\" points=\"%.1f,%.1f ", class,
               place_x(plot, points[0].x), place_y(plot, plot->y_min));
    write_points(plot, points, count);
    text_print(plot->out, " %.1f,%.1f\"/>\n", place_x(plot, points[count - 1].x),
               place_y(plot, plot->y_min));
}

void plot_marker_x(const struct plot *plot, double x, const char *label)
{
    double at = place_x(plot, x);
    bool is_left = at > PLOT_WIDTH * 0.7; /* the label stays inside */

    text_print(plot->out,
               "<line class=\"marker\" x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\"/>\n", at,
               TOP, at, PLOT_HEIGHT - BOTTOM);
    text_print(plot->out, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\">",
               at + (is_left ? -6 : 6), PLOT_HEIGHT - BOTTOM - 8, is_left ? "end" : "start");
    plot_escape(plot->out, label);
    text_print(plot->out, "</text>\n");
}

double plot_step(double range, uint32_t parts)
{
    ASSERT(range > 0);
    ASSERT(parts > 0);
    double least = range / parts;
    double power = pow(10, floor(log10(least)));
    double digit = least / power;

    /* A little slack: 0.1 * 10 is not always 1. */
    return power * (digit <= 1.000001 ? 1 : digit <= 2.000001 ? 2 : digit <= 5.000001 ? 5 : 10);
}
