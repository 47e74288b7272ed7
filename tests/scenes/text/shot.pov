// A shot as productions write them: all names of files are made of other things.
/* nested /* comments */ with #include "not.inc" */
#version 3.7;
#ifndef (Shot_Pov)
#declare Shot_Pov = 1;
#include "lib/materials.inc"
#declare TexDir = "/shows/dog/tex/";
#declare Version = 3;
#declare Use_Proxy = false;

#macro Tex(Name)
  concat(TexDir, Name, "_v", str(Version, -3, 0), ".png")
#end

#macro Prop(Name, Kind)
  #if (Kind = 1)
    #include concat("props/", Name, ".inc")
  #else
    height_field { png concat("hf/", Name, ".png") smooth }
  #end
#end

#if (Use_Proxy)
  #include "proxy.inc"
#else
  #include "full.inc"
#end

#ifdef (Unknown_Switch)
  #include "debug_grid.inc"
#end

#declare I = 1;
#while (I <= 3)
  sphere { <I, 0, 0>, 1 pigment { image_map { jpeg concat("wall_", str(I, 0, 0), ".jpg") once } } }
  #declare I = I + 1;
#end

#for (J, 10, 20, 5)
  text { ttf concat("fonts/f", str(J, -3, 0)) "no/file.ttf" 0.1, 0 }
#end

plane { y, 0 pigment { image_map { png Tex("floor") } } normal { bump_map { "bump\"s.tif" } } }
Prop("chair", 1)
Prop("hill", 2)

background_plate(concat("plates/bg.", str(frame_number, -4, 0), ".png"))
#declare Plate = pigment { image_map { png concat("plates/bg.", str(frame_number + 1000, -4, 0), ".png") } }
#declare Late = pigment { image_map { png concat("clock", str(clock, 0, 2), ".png") } }
media { density { density_file df3 "smoke.df3" interpolate 1 } }

#fopen Out "points.inc" write
#write (Out, "sphere { 0, 1 }\n")
#fclose Out
#include "points.inc"
#fopen In "numbers.txt" read
global_settings { photons { count 20000 load_file "caustics.ph" } }
Elsewhere("studio_map.exr")
#end
