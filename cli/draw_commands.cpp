// draw, edit, fill: tasks that make a picture.
#include <cstdio>
#include <string>

#include "cli/task_options.h"
#include "tasks/fill.h"
#include "tasks/pictures.h"
#include "tasks/segment.h"

namespace leon {
namespace {

void draw_command(const CommonOptions& common, const TaskOptions& o) {
    check_picture_path(o.output);
    DrawRequest request;
    request.text = o.text;
    request.kind = o.kind;
    request.sign = o.word;
    for (const std::string& object : o.objects) request.objects.push_back(parse_object(object));
    if (!o.size.empty()) request.size = parse_size(o.size);
    if (!o.map.empty()) request.map = load_picture(o.map, Orientation::Upright);
    const Model model(common.model_path(), common.kernels());
    request.retrieved = retrieved_for(common, o, model, request.caption(), nullptr);
    DrawingDisplay display(common, o, model, "drawing", request.caption(), request.map.has_value());
    display.finish(draw(model, request, o.all_settings(), display.progress()));
}

void edit_command(const CommonOptions& common, const TaskOptions& o) {
    check_picture_path(o.output);
    const Picture picture = load_picture(o.picture, Orientation::Upright);
    const Model model(common.model_path(), common.kernels());
    DrawingDisplay display(common, o, model, "editing", "");
    const std::vector<Document> retrieved = retrieved_for(common, o, model, o.text, &picture);
    display.finish(edit(model, picture, o.text, o.all_settings(), display.progress(), retrieved));
}

void fill_command(const CommonOptions& common, const TaskOptions& o) {
    check_picture_path(o.output);
    const Picture picture = load_picture(o.picture, Orientation::Upright);
    const Model model(common.model_path(), common.kernels());
    const HoleInFrame hole = chosen_hole(model, picture, o.box, o.mask, o.grow);
    DrawingDisplay display(common, o, model, "filling", o.text);
    const std::vector<Document> retrieved = retrieved_for(common, o, model, o.text, &hole.frame);
    display.finish(fill(model, hole, o.text, o.all_settings(), display.progress(), retrieved));
}

void estimate_command(const CommonOptions& common, const TaskOptions& o) {
    check_picture_path(o.output);
    const Picture picture = load_picture(o.picture, Orientation::Upright);
    const Model model(common.model_path(), common.kernels());
    DrawingDisplay display(common, o, model, "estimating", "");
    display.finish(estimate(model, picture, o.kind, o.all_settings(), display.progress()));
}

void segment_command(const CommonOptions& common, const TaskOptions& o) {
    const Picture picture = load_picture(o.picture, Orientation::Upright);
    const Legend loaded = o.legend.empty() ? storybook_legend() : load_legend(o.legend);
    const Model model(common.model_path(), common.kernels());
    DrawingDisplay display(common, o, model, "segmenting", "");
    const Segmentation result = segment(model, picture, o.object, loaded, o.all_settings(), display.progress());
    display.show(result.drawing, result.drawing.pictures.at(0));
    std::printf("%s\n", save_segmentation(o.output, result, loaded).c_str());
}

}  // namespace

void add_draw_commands(CLI::App& app, CommonOptions& common) {
    auto o = std::make_shared<TaskOptions>();

    CLI::App* command = add_task(app, common, "draw", "draw a picture from a sentence, a map, boxes, or a word",
                                 "leon draw \"a car on a sandy beach\" --seed 1 -o car.png\n"
                                 "  leon draw --layout map.png --kind segmentation \"a dog in the snow\" -o dog.png\n"
                                 "  leon draw \"a dog in the snow\" --object dog@10,40,60,110 -o dog.png\n"
                                 "  leon draw --sign \"OPEN\" -o sign.png");
    command->add_option("text", o->text, "what to draw");
    command->add_option("--layout", o->map, "a picture that says where things are: a map, see --kind");
    command->add_option("--kind", o->kind, "what the map is: segmentation, edges, depth, pose, scribble, hed, normals");
    command->add_option("--object", o->objects, "NAME@x0,y0,x1,y1 in pixels of the new picture; may be repeated");
    command->add_option("--size", o->size, "WIDTHxHEIGHT in pixels, for models that draw more than one (Lumina-mGPT)");
    command->add_option("--sign", o->word, "a word to be written in the picture");
    add_picture_options(*command, *o);
    add_retrieval_options(*command, *o);
    command->callback([&common, o] { draw_command(common, *o); });

    command = add_task(app, common, "edit", "change a picture as an instruction says",
                       "leon edit car.png \"remove the tree\" -o edited.png");
    command->add_option("picture", o->picture, "picture file")->required();
    command->add_option("instruction", o->text, "what to change")->required();
    add_picture_options(*command, *o);
    add_retrieval_options(*command, *o);
    command->callback([&common, o] { edit_command(common, *o); });

    command = add_task(app, common, "fill", "draw the inside of a hole anew; everything else stays, bit for bit",
                       "leon fill car.png --box 64,40,128,128 \"a dog on a sandy beach\" -o dog.png\n"
                       "  leon fill car.png --mask mask.png -o filled.png\n"
                       "  leon fill car.png --grow 32,32,32,32 \"a car on a wide beach\" -o wider.png");
    command->add_option("picture", o->picture, "picture file")->required();
    command->add_option("text", o->text, "what the whole picture should show");
    command->add_option("--box", o->box, "x0,y0,x1,y1 in pixels of the picture; x1 and y1 are outside");
    command->add_option("--mask", o->mask, "a picture of the same size: white is filled, any shape");
    command->add_option("--grow", o->grow, "left,top,right,bottom: pixels to add around the picture and to fill");
    add_picture_options(*command, *o);
    add_retrieval_options(*command, *o);
    command->callback([&common, o] { fill_command(common, *o); });

    command = add_task(app, common, "segment", "draw a picture's segmentation map, and take it apart into masks",
                       "leon segment car.png -o car-parts\n  leon segment car.png \"car\" -o car-mask");
    command->add_option("picture", o->picture, "picture file")->required();
    command->add_option("object", o->object, "only this kind of thing");
    command->add_option("-o,--output", o->output, "folder for map.png, drawn.png, mask-*.png and legend.json")
        ->required();
    command->add_option("--legend", o->legend,
                        "JSON with the model's colours; without it, those of the Storybook world");
    command->add_option("--guidance", o->settings.guidance, "classifier-free guidance; 1 is none");
    add_sampling_options(*command, *o);
    command->callback([&common, o] { segment_command(common, *o); });

    command =
        add_task(app, common, "estimate", "draw a picture's depth, normals or pose, as Lumina-mGPT was trained to",
                 "leon estimate photo.jpg --kind depth -m lumina.leon -o depth.png");
    command->add_option("picture", o->picture, "picture file")->required();
    command->add_option("--kind", o->kind, "depth, normals or pose")->required();
    add_picture_options(*command, *o);
    command->callback([&common, o] { estimate_command(common, *o); });
}

}  // namespace leon
