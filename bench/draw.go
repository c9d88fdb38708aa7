package main

import (
	"bytes"
	"fmt"
	"image/color"
	"math"
	"os"
	"path/filepath"
	"strconv"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

// Colours that read on a white and on a dark page, told apart by lightness too.
var (
	ink     = color.NRGBA{0x80, 0x88, 0x92, 0xff}
	grid    = color.NRGBA{0x80, 0x88, 0x92, 0x38}
	palette = []color.NRGBA{
		{0x12, 0x9c, 0x8c, 0xff}, // the exchange
		{0xe0, 0x6c, 0x4a, 0xff}, // Redis
		{0x5b, 0x7f, 0xde, 0xff}, // PostgreSQL
		{0x80, 0x88, 0x92, 0xff}, // the limit
	}
)

// Size of a chart.
const (
	chartWidth  = 25 * vg.Centimeter
	chartHeight = 12 * vg.Centimeter
	legendWidth = 182
)

// draw writes the charts into dir.
func (d *chartData) draw(dir string) error {
	caption := d.Machine + ", " + d.Date
	for _, c := range []struct {
		file, title, x, y string
		lines             []series
		logX, logY        bool
	}{
		{"throughput.svg", "Throughput", "connections", "requests/s", d.Throughput, true, false},
		{"latency.svg", "Latency of a deposit, open loop", "deposits offered, per second", "milliseconds", d.Latency, false, true},
		{"cost.svg", "Cost of a request by number of users", "users", "CPU of the server, µs a request", d.Cost, true, false},
	} {
		p := newPlot(c.title, c.x, c.y)
		if c.logX {
			p.X.Scale, p.X.Tick.Marker = plot.LogScale{}, exactTicks(c.lines)
		} else {
			p.X.Min, p.X.Tick.Marker = 0, linearTicks{}
		}
		if c.logY {
			p.Y.Scale, p.Y.Tick.Marker = plot.LogScale{}, decades{}
		} else {
			p.Y.Min, p.Y.Tick.Marker = 0, linearTicks{}
		}
		legend, err := addLines(p, c.lines)
		if err != nil {
			return fmt.Errorf("%s: %w", c.file, err)
		}
		if !c.logY {
			p.Y.Min, p.Y.Max = 0, p.Y.Max*1.08
		}
		if err := writeSVG(p, legend, filepath.Join(dir, c.file), caption); err != nil {
			return err
		}
	}
	return nil
}

func newPlot(title, x, y string) *plot.Plot {
	p := plot.New()
	p.BackgroundColor = color.Transparent
	sans := func(size vg.Length) font.Font { return font.Font{Typeface: "Liberation", Variant: "Sans", Size: size} }
	p.Title.Text = title
	p.Title.TextStyle.Font, p.Title.TextStyle.Color, p.Title.Padding = sans(17), ink, 14
	p.Legend.TextStyle.Font, p.Legend.TextStyle.Color = sans(12), ink
	p.Legend.Padding, p.Legend.ThumbnailWidth = 3, 28
	p.Legend.Top, p.Legend.Left = true, true
	for _, a := range []struct {
		axis *plot.Axis
		text string
	}{{&p.X, x}, {&p.Y, y}} {
		a.axis.Label.Text = a.text
		a.axis.Label.TextStyle.Font, a.axis.Label.TextStyle.Color, a.axis.Label.Padding = sans(13), ink, 8
		a.axis.Tick.Label.Font, a.axis.Tick.Label.Color = sans(12), ink
		a.axis.LineStyle.Color, a.axis.Tick.LineStyle.Color = ink, ink
		a.axis.Padding = 0
	}
	lines := plotter.NewGrid()
	lines.Vertical.Color, lines.Horizontal.Color = grid, grid
	p.Add(lines)
	return p
}

// addLines draws lines and returns the legend, which stands beside the plot and not
// in it, where it would hide them.
func addLines(p *plot.Plot, lines []series) (plot.Legend, error) {
	legend := p.Legend
	for _, s := range lines {
		xys := make(plotter.XYs, len(s.Points))
		for i, at := range s.Points {
			xys[i] = plotter.XY{X: at.X, Y: at.Y}
		}
		line, dots, err := plotter.NewLinePoints(xys)
		if err != nil {
			return legend, fmt.Errorf("%s: %w", s.Name, err)
		}
		line.Color, line.Width = palette[s.Color], 2.2
		dots.Color, dots.Shape, dots.Radius = palette[s.Color], draw.CircleGlyph{}, 3
		if s.Dashed {
			line.Dashes = []vg.Length{6, 4}
		}
		p.Add(line, dots)
		legend.Add(s.Name, line, dots)
	}
	return legend, nil
}

// writeSVG draws p with a caption below. Liberation Sans has the widths of Arial
// and Helvetica, so that either can stand in for it.
func writeSVG(p *plot.Plot, legend plot.Legend, file, caption string) error {
	canvas := vgsvg.New(chartWidth, chartHeight)
	whole := draw.New(canvas)
	p.Draw(draw.Crop(whole, 12, -legendWidth, 30, -12))
	legend.Draw(draw.Crop(whole, chartWidth-legendWidth+18, 0, 0, -48))
	style := p.Legend.TextStyle
	style.Font.Size = 10
	whole.FillText(style, vg.Point{X: 14, Y: 12}, caption)
	var b bytes.Buffer
	if _, err := canvas.WriteTo(&b); err != nil {
		return err
	}
	text := bytes.ReplaceAll(b.Bytes(), []byte("font-family:Liberation Sans"), []byte("font-family:'Liberation Sans',Arial,Helvetica,sans-serif"))
	return os.WriteFile(file, text, 0o644)
}

// exactTicks are the values of X that were measured.
func exactTicks(lines []series) plot.ConstantTicks {
	var ticks plot.ConstantTicks
	if len(lines) > 0 {
		for _, at := range lines[0].Points {
			ticks = append(ticks, plot.Tick{Value: at.X, Label: grouped(at.X)})
		}
	}
	return ticks
}

// linearTicks are plot's own, labelled with grouped digits.
type linearTicks struct{}

func (linearTicks) Ticks(low, high float64) []plot.Tick {
	ticks := plot.DefaultTicks{}.Ticks(low, high)
	for i := range ticks {
		if ticks[i].Label != "" {
			ticks[i].Label = grouped(ticks[i].Value)
		}
	}
	return ticks
}

// decades are the powers of ten, with marks between them.
type decades struct{}

func (decades) Ticks(low, high float64) (ticks []plot.Tick) {
	for at := math.Pow(10, math.Floor(math.Log10(low))); at <= high; at *= 10 {
		ticks = append(ticks, plot.Tick{Value: at, Label: strconv.FormatFloat(at, 'g', 3, 64)})
		for n := 2.0; n < 10; n++ {
			ticks = append(ticks, plot.Tick{Value: n * at})
		}
	}
	return ticks
}

// grouped writes 1000000 as 1,000,000.
func grouped(v float64) string {
	whole := strconv.FormatFloat(math.Trunc(v), 'f', -1, 64)
	for i := len(whole) - 3; i > 0; i -= 3 {
		whole = whole[:i] + "," + whole[i:]
	}
	if v != math.Trunc(v) {
		return strconv.FormatFloat(v, 'f', -1, 64)
	}
	return whole
}
